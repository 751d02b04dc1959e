import com.azure.core.credential.TokenCredential;
import com.azure.identity.ClientCertificateCredentialBuilder;
import com.azure.identity.ClientSecretCredentialBuilder;
import com.azure.security.keyvault.keys.KeyClient;
import com.azure.security.keyvault.keys.KeyClientBuilder;
import com.azure.security.keyvault.keys.cryptography.CryptographyClient;
import com.azure.security.keyvault.keys.cryptography.CryptographyClientBuilder;
import com.azure.security.keyvault.keys.cryptography.models.KeyWrapAlgorithm;
import com.azure.security.keyvault.keys.cryptography.models.SignatureAlgorithm;
import com.azure.security.keyvault.keys.models.CreateEcKeyOptions;
import com.azure.security.keyvault.keys.models.CreateOctKeyOptions;
import com.azure.security.keyvault.keys.models.CreateRsaKeyOptions;
import com.azure.security.keyvault.keys.models.KeyVaultKey;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.util.Arrays;

/** Microsoft's own libraries for Java against the service: {@code Main URL NAME}, with the settings of client.env. */
public final class Main {
  private final TokenCredential credential = signIn();
  private final KeyClient keys;
  private final String name;

  private Main(String url, String name) {
    this.keys = new KeyClientBuilder().vaultUrl(url).credential(credential).buildClient();
    this.name = name;
  }

  public static void main(String[] arguments) throws Exception {
    new Main(arguments[0], arguments[1]).run();
    // The libraries' schedulers have threads that would go on.
    System.exit(0);
  }

  /** A certificate where CERTIFICATE_FILE names one, else the client secret. */
  private static TokenCredential signIn() {
    String tenant = System.getenv("AZURE_TENANT_ID");
    String client = System.getenv("AZURE_CLIENT_ID");
    String file = System.getenv("CERTIFICATE_FILE");
    if (file != null)
      return new ClientCertificateCredentialBuilder()
          .tenantId(tenant)
          .clientId(client)
          .pemCertificate(file)
          .build();
    return new ClientSecretCredentialBuilder()
        .tenantId(tenant)
        .clientId(client)
        .clientSecret(System.getenv("AZURE_CLIENT_SECRET"))
        .build();
  }

  private void run() throws Exception {
    KeyVaultKey rsa =
        created(
            keys.createRsaKey(
                new CreateRsaKeyOptions(name + "-rsa").setHardwareProtected(true).setKeySize(2048)));
    KeyVaultKey oct =
        created(
            keys.createOctKey(
                new CreateOctKeyOptions(name + "-oct").setHardwareProtected(true).setKeySize(256)));
    KeyVaultKey ec =
        created(keys.createEcKey(new CreateEcKeyOptions(name + "-ec").setHardwareProtected(true)));

    wrap(rsa, KeyWrapAlgorithm.RSA_OAEP);
    wrap(rsa, KeyWrapAlgorithm.RSA_OAEP_256);
    wrap(oct, KeyWrapAlgorithm.A256KW);
    sign(ec, SignatureAlgorithm.ES256);
    sign(rsa, SignatureAlgorithm.PS256);

    for (String kept : new String[] {rsa.getName(), oct.getName(), ec.getName()}) {
      require(keys.getKey(kept).getId().contains("/keys/" + kept + "/"), "another key was read");
      require(
          keys.listPropertiesOfKeyVersions(kept).stream().count() == 1, "not one version is listed");
    }
    System.out.println("read and listed");
  }

  private static KeyVaultKey created(KeyVaultKey key) {
    System.out.println("created " + key.getKeyType());
    return key;
  }

  /** By the service alone: a client that keeps the public half wraps and verifies by itself what it can. */
  private CryptographyClient remote(KeyVaultKey key) {
    return builderFor(key).disableKeyCaching().buildClient();
  }

  /** As the library does it unless told: by RSA-OAEP and ES256 it wraps and verifies itself. */
  private CryptographyClient usual(KeyVaultKey key) {
    return builderFor(key).buildClient();
  }

  private CryptographyClientBuilder builderFor(KeyVaultKey key) {
    return new CryptographyClientBuilder().keyIdentifier(key.getId()).credential(credential);
  }

  /** Each side's wrapping is unwrapped by the other. */
  private void wrap(KeyVaultKey key, KeyWrapAlgorithm algorithm) {
    byte[] value = new byte[32];
    Arrays.fill(value, (byte) 7);
    byte[] byService = remote(key).wrapKey(algorithm, value).getEncryptedKey();
    byte[] byUsual = usual(key).wrapKey(algorithm, value).getEncryptedKey();
    require(
        Arrays.equals(usual(key).unwrapKey(algorithm, byService).getKey(), value)
            && Arrays.equals(remote(key).unwrapKey(algorithm, byUsual).getKey(), value),
        "what was unwrapped is something else");
    System.out.println("wrapped and unwrapped by " + algorithm);
  }

  private void sign(KeyVaultKey key, SignatureAlgorithm algorithm) throws Exception {
    byte[] digest = sha256("what is signed");
    byte[] signature = remote(key).sign(algorithm, digest).getSignature();
    require(
        remote(key).verify(algorithm, digest, signature).isValid()
            && usual(key).verify(algorithm, digest, signature).isValid(),
        "the signature does not verify");
    require(
        !remote(key).verify(algorithm, sha256("something else"), signature).isValid(),
        "a signature of something else verifies");
    System.out.println("signed and verified by " + algorithm);
  }

  private static byte[] sha256(String text) throws Exception {
    return MessageDigest.getInstance("SHA-256").digest(text.getBytes(StandardCharsets.UTF_8));
  }

  private static void require(boolean fulfilled, String otherwise) {
    if (!fulfilled) throw new IllegalStateException(otherwise);
  }
}
