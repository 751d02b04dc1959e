// Microsoft's own, unmodified libraries against Strongroom. First: set -a; . .strongroom/client.env
import { createHash, randomBytes } from 'node:crypto';
import { lookup } from 'node:dns/promises';
import { argv, env, exit } from 'node:process';
import { DefaultAzureCredential } from '@azure/identity';
import { CryptographyClient, KeyClient } from '@azure/keyvault-keys';

const { URL } = globalThis;
const { error, log } = globalThis.console;
const url = argv[2] ?? env.AZURE_MANAGEDHSM_URL;
if (!URL.canParse(url)) {
  error('AZURE_MANAGEDHSM_URL is missing: first set -a; . .strongroom/client.env');
  exit(1);
}
const { hostname, port } = new URL(url);
await lookup(hostname.replace(/^\[|\]$/g, '')).catch(() => {
  const other = `https://localhost${port === '' ? '' : `:${port}`}`;
  error(
    `${hostname} does not resolve on this machine: add the line "127.0.0.1 ${hostname}" to /etc/hosts, or run node test/clients/tour.mjs ${other}`,
  );
  exit(1);
});
// A bare localhost can't be below the challenge's resource: there the client's check is switched off.
const options = { disableChallengeResourceVerification: url.includes('//localhost') };
const identity = new DefaultAzureCredential();
const keys = new KeyClient(url, identity, options);
const use = (key) => new CryptographyClient(key, identity, options);
const compare = (a, b) => (a.equals(b) ? 'the same' : 'NOT THE SAME');
const run = randomBytes(4).toString('hex');

const rsa = await keys.createRsaKey(`tour-rsa-${run}`, { keySize: 2048, hsm: true });
const ec = await keys.createEcKey(`tour-ec-${run}`, { curve: 'P-256', hsm: true });
const aes = await keys.createOctKey(`tour-oct-${run}`, { keySize: 256, hsm: true });
for (const key of [rsa, ec, aes]) log(`created ${key.keyType} ${key.id}`);
const secret = randomBytes(32);
for (const [name, key] of Object.entries({ 'RSA-OAEP-256': rsa, A256KW: aes })) {
  const { result } = await use(key).wrapKey(name, secret);
  const unwrapped = await use(key).unwrapKey(name, result);
  log(`${name}: wrapped to ${result.length} bytes, unwrapped ${compare(secret, unwrapped.result)}`);
}
const gcm = { algorithm: 'A256GCM', additionalAuthenticatedData: secret.subarray(0, 8) };
const sealed = await use(aes).encrypt({ ...gcm, plaintext: secret });
const opened = await use(aes).decrypt({ ...sealed, ...gcm, ciphertext: sealed.result });
log(`A256GCM with AAD: ${sealed.result.length} bytes, decrypted ${compare(secret, opened.result)}`);
const digest = createHash('sha256').update('a message').digest();
for (const [name, key] of Object.entries({ ES256: ec, PS256: rsa })) {
  const { result } = await use(key).sign(name, digest);
  const verified = await use(key).verify(name, digest, result);
  log(`${name}: ${result.length} bytes, verified ${verified.result}`);
}
for await (const { name } of keys.listPropertiesOfKeys()) log(`listed ${name}`);
for await (const one of keys.listPropertiesOfKeyVersions(rsa.name)) log(`version ${one.version}`);
await (await keys.beginDeleteKey(rsa.name, { intervalInMs: 100 })).pollUntilDone();
for await (const { name } of keys.listDeletedKeys()) log(`deleted ${name}`);
