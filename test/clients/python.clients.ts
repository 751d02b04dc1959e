import { execFile, spawnSync } from 'node:child_process';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { replaceCertificate } from '../support/client-certificates.ts';
import {
  addSecret,
  assignRole,
  created,
  makeClient,
  signInAdministrator,
} from '../support/directory.ts';
import { startIssuer } from '../support/oidc-issuer.ts';
import { freePort } from '../support/free-port.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import { makeVirtualEnvironment } from '../support/virtual-environment.ts';
import { ROLE } from '../support/roles.ts';

/**
 * Microsoft's libraries for Python against the service, and Prometheus' against its metrics: `npm run test:clients`. The
 * libraries are installed into a virtual
 * environment below node_modules, as requirements.txt
 * pins them; a machine that can't have one skips with the reason.
 */

const HERE = fileURLToPath(new URL('.', import.meta.url));
const run = promisify(execFile);

const { bin, missing } = makeVirtualEnvironment('python', join(HERE, 'requirements.txt'));
const PYTHON = join(bin, 'python');
if (missing !== undefined) console.warn(`skipped: ${missing}`);

let folder: string;
let service: RunningService;
let metrics: string;
let issuer: Awaited<ReturnType<typeof startIssuer>>;
beforeAll(async () => {
  if (missing !== undefined) return;
  issuer = await startIssuer();
  folder = await makeDataFolder();
  const port = await freePort();
  metrics = `http://127.0.0.1:${String(port)}/metrics`;
  service = await startService(folder, {
    STRONGROOM_METRICS_LISTEN: `127.0.0.1:${String(port)}`,
    STRONGROOM_IDENTITY_LISTEN: '127.0.0.1:0',
    STRONGROOM_FEDERATED_ISSUERS: issuer.url,
  });
}, 90_000);
afterAll(async () => {
  if (missing !== undefined) return;
  await service.stop();
  issuer.close();
  await removeDataFolder(folder);
});

(missing === undefined ? describe : describe.skip)('with Python', () => {
  test.each(['keys.py', 'access.py', 'metrics.py'])(
    '%s does what it says',
    (script) => {
      const url = script === 'metrics.py' ? metrics : service.localUrl;
      const { status, stdout, stderr } = spawnSync(PYTHON, [join(HERE, script), url], {
        encoding: 'utf8',
        env: { PATH: process.env['PATH'], ...service.client },
        timeout: 120_000,
      });
      console.info(stdout);
      expect([status, stderr.split('\n').slice(-5)]).toEqual([0, expect.anything()]);
    },
    150_000,
  );

  describe('signs in, does what its role says and no more:', () => {
    let identity: Awaited<ReturnType<typeof makeIdentity>>;
    beforeAll(async () => {
      identity = await makeIdentity();
    }, 90_000);

    test.each<[string, () => Readonly<Record<string, string>>]>([
      ['ClientSecretCredential', () => ({ CLIENT_SECRET: identity.secret })],
      ['CertificateCredential', () => ({ CERTIFICATE_FILE: identity.certificateFile })],
      [
        'CertificateCredential with its chain',
        () => ({ CERTIFICATE_FILE: identity.certificateFile }),
      ],
      ['WorkloadIdentityCredential', () => ({ AZURE_FEDERATED_TOKEN_FILE: identity.tokenFile })],
      [
        'ManagedIdentityCredential',
        () => ({
          IDENTITY_ENDPOINT: identity.endpoint,
          IDENTITY_HEADER: `${identity.appId}.${identity.secret}`,
        }),
      ],
    ])(
      '%s',
      async (credential, environment) => {
        const settings = {
          PATH: process.env['PATH'],
          ...service.client,
          AZURE_CLIENT_SECRET: '',
          AZURE_CLIENT_ID: identity.appId,
          ...environment(),
        };
        // Not spawnSync: the issuer that the service asks for keys is in this process.
        const { stdout } = await run(
          PYTHON,
          [join(HERE, 'sign_in.py'), credential, service.localUrl, 'shared'],
          { env: settings, timeout: 60_000 },
        );
        expect(JSON.parse(stdout)).toEqual({ wrap_key: 'done', create_key: '403 AccessDenied' });
      },
      90_000,
    );
  });
});

/** An application that may wrap with the key `shared`, with all that it can prove itself by. */
async function makeIdentity() {
  const admin = await signInAdministrator(service);
  await created(admin('POST', '/keys/shared/create', { kty: 'RSA-HSM' }));
  const client = await makeClient(admin, 'python');
  await assignRole(admin, ROLE.encryptionUser, client.principalId);
  const secret = await addSecret(admin, client);
  const { certificate, privateKey } = await replaceCertificate(admin, client);
  const subject = 'system:serviceaccount:shop:checkout';
  const audience = 'api://AzureADTokenExchange';
  await created(
    admin('POST', `/v1.0/applications/${client.applicationId}/federatedIdentityCredentials`, {
      name: 'cluster',
      issuer: issuer.url,
      subject,
      audiences: [audience],
    }),
  );
  admin.close();
  const file = async (name: string, content: string) => {
    await writeFile(join(folder, name), content);
    return join(folder, name);
  };
  return {
    appId: client.appId,
    secret,
    certificateFile: await file('client.pem', privateKey + certificate),
    tokenFile: await file('token', await issuer.issue(subject, audience)),
    endpoint: /IDENTITY_ENDPOINT=(\S+)/.exec(service.output())?.[1] ?? '',
  };
}
