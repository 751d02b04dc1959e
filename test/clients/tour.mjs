// The five-minute tour: Microsoft's own, unmodified libraries against Strongroom. First: set -a; . .strongroom/client.env
import { createHash, randomBytes } from 'node:crypto';
import { DefaultAzureCredential } from '@azure/identity';
import { CryptographyClient, KeyClient } from '@azure/keyvault-keys';

const url = process.argv[2] ?? process.env.AZURE_MANAGEDHSM_URL;
// The check that the host belongs to the challenge's resource can't pass for a bare localhost: there it is switched off.
const options = { disableChallengeResourceVerification: new URL(url).hostname === 'localhost' };
const credential = new DefaultAzureCredential();
const keys = new KeyClient(url, credential, options);
const use = (key) => new CryptographyClient(key, credential, options);
const same = (a, b) =>
  Buffer.compare(Buffer.from(a), Buffer.from(b)) === 0 ? 'the same' : 'NOT THE SAME';
const name = (kind) => `tour-${kind}-${randomBytes(4).toString('hex')}`;

const rsa = await keys.createRsaKey(name('rsa'), { keySize: 2048, hsm: true });
const ec = await keys.createEcKey(name('ec'), { curve: 'P-256', hsm: true });
const oct = await keys.createOctKey(name('oct'), { keySize: 256, hsm: true });
for (const key of [rsa, ec, oct]) console.log(`created ${key.keyType} ${key.id}`);

const dataKey = randomBytes(32);
for (const [key, algorithm] of [
  [rsa, 'RSA-OAEP-256'],
  [oct, 'A256KW'],
]) {
  const wrapped = await use(key).wrapKey(algorithm, dataKey);
  const unwrapped = await use(key).unwrapKey(algorithm, wrapped.result);
  console.log(
    `${algorithm}: wrapped to ${wrapped.result.length} bytes, unwrapped ${same(unwrapped.result, dataKey)}`,
  );
}
const [plaintext, additionalAuthenticatedData] = [
  Buffer.from('a secret'),
  Buffer.from('its context'),
];
const sealed = await use(oct).encrypt({
  algorithm: 'A256GCM',
  plaintext,
  additionalAuthenticatedData,
});
const { result: ciphertext, iv, authenticationTag } = sealed;
const opened = await use(oct).decrypt({
  algorithm: 'A256GCM',
  ciphertext,
  iv,
  authenticationTag,
  additionalAuthenticatedData,
});
console.log(
  `A256GCM with AAD: ${ciphertext.length} bytes, decrypted ${same(opened.result, plaintext)}`,
);
const digest = createHash('sha256').update('a message').digest();
for (const [key, algorithm] of [
  [ec, 'ES256'],
  [rsa, 'PS256'],
]) {
  const { result: signature } = await use(key).sign(algorithm, digest);
  console.log(
    `${algorithm}: ${signature.length} bytes, verified ${(await use(key).verify(algorithm, digest, signature)).result}`,
  );
}
for await (const listed of keys.listPropertiesOfKeys())
  if (listed.name === rsa.name) console.log(`listed ${listed.name}`);
for await (const version of keys.listPropertiesOfKeyVersions(rsa.name))
  console.log(`version ${version.version}`);
await (await keys.beginDeleteKey(rsa.name, { intervalInMs: 100 })).pollUntilDone();
for await (const deleted of keys.listDeletedKeys())
  if (deleted.name === rsa.name)
    console.log(`deleted, to be purged on ${deleted.properties.scheduledPurgeDate?.toISOString()}`);
