// One of Microsoft's unmodified credentials, by its class's name, all of whose settings are in the environment:
// what its identity may do with a key, and what it may not.
import { argv, env, stdout } from 'node:process';
import * as identity from '@azure/identity';
import { CryptographyClient, KeyClient } from '@azure/keyvault-keys';

const [, , name, url, keyName] = argv;
const { AZURE_TENANT_ID: tenant, AZURE_CLIENT_ID: clientId } = env;
const certificate = { certificatePath: env.CERTIFICATE_FILE };
const CREDENTIALS = {
  ClientSecretCredential: () =>
    new identity.ClientSecretCredential(tenant, clientId, env.CLIENT_SECRET),
  ClientCertificateCredential: () =>
    new identity.ClientCertificateCredential(tenant, clientId, certificate),
  'ClientCertificateCredential with its chain': () =>
    new identity.ClientCertificateCredential(tenant, clientId, certificate, {
      sendCertificateChain: true,
    }),
  WorkloadIdentityCredential: () => new identity.WorkloadIdentityCredential(),
  ManagedIdentityCredential: () => new identity.ManagedIdentityCredential(),
  DefaultAzureCredential: () => new identity.DefaultAzureCredential(),
};
const credential = CREDENTIALS[name]();
// A bare localhost can't be below the challenge's resource: there the client's check is switched off.
const options = { disableChallengeResourceVerification: true };
const keys = new KeyClient(url, credential, options);
const outcomeOf = (promise) =>
  promise.then(
    () => 'done',
    ({ statusCode, code, name: kind, message }) => `${statusCode ?? kind} ${code ?? message}`,
  );

const allowed = outcomeOf(
  keys
    .getKey(keyName)
    .then((key) =>
      new CryptographyClient(key, credential, options).wrapKey('A256KW', new Uint8Array(32)),
    ),
);
const refused = outcomeOf(keys.createKey(`${keyName}-more`, 'oct'));
stdout.write(JSON.stringify({ wrapKey: await allowed, createKey: await refused }));
