import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { makeClientCertificate } from '../../support/client-certificates.ts';
import {
  addSecret,
  assignRole,
  type Client,
  created,
  makeClient,
} from '../../support/directory.ts';
import { startIssuer } from '../../support/oidc-issuer.ts';
import { rawRequest } from '../../support/raw-request.ts';
import { ROLE } from '../../support/roles.ts';
import { useService } from '../../support/use-service.ts';

const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const SIGN_IN = fileURLToPath(new URL('../../clients/sign-in.mjs', import.meta.url));
const run = promisify(execFile);

/** The role lets them wrap, and create nothing. */
const AS_THE_ROLE_SAYS = { wrapKey: 'done', createKey: '403 AccessDenied' };
const SUBJECT = 'system:serviceaccount:shop:checkout';
const AUDIENCE = 'api://AzureADTokenExchange';

const { service, admin, atEnd } = useService(async () => {
  issuer = await startIssuer();
  return {
    STRONGROOM_WORKERS: '1',
    STRONGROOM_IDENTITY_LISTEN: '127.0.0.1:0',
    STRONGROOM_FEDERATED_ISSUERS: `https://elsewhere.example ${issuer.url}`,
  };
});
let folder: string;
let client: Client;
let secret: string;
let issuer: Awaited<ReturnType<typeof startIssuer>>;
let endpoint: string;
const certificateFile = () => join(folder, 'client.pem');
const tokenFile = () => join(folder, 'token');

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  atEnd(issuer);
  endpoint = /IDENTITY_ENDPOINT=(\S+)/.exec(service.output())?.[1] ?? '';
  await created(admin('POST', '/keys/shared/create?api-version=7.4', { kty: 'oct-HSM' }));
  client = await makeClient(admin, 'workload');
  await assignRole(admin, ROLE.encryptionUser, client.principalId);
  secret = await addSecret(admin, client);

  const { certificate, privateKey } = await makeClientCertificate();
  await writeFile(certificateFile(), privateKey + certificate);
  await created(
    admin('PATCH', `/v1.0/applications/${client.applicationId}`, {
      keyCredentials: [
        {
          type: 'AsymmetricX509Cert',
          usage: 'Verify',
          key: Buffer.from(certificate).toString('base64'),
        },
      ],
    }),
  );

  await created(
    admin('POST', `/v1.0/applications/${client.applicationId}/federatedIdentityCredentials`, {
      name: 'cluster',
      issuer: issuer.url,
      subject: SUBJECT,
      audiences: [AUDIENCE],
    }),
  );
  await writeFile(tokenFile(), await issuer.issue(SUBJECT, AUDIENCE));
});
afterAll(async () => {
  await rm(folder, { recursive: true, force: true });
});

/** In a process of its own, with nothing in its environment but what the credential's reader is told to put there. */
async function signIn(
  credential: string,
  environment: Readonly<Record<string, string>>,
  ca = true,
): Promise<unknown> {
  const { stdout } = await run(
    process.execPath,
    [SIGN_IN, credential, service.localUrl, 'shared'],
    {
      env: {
        PATH: process.env['PATH'],
        ...(ca && { NODE_EXTRA_CA_CERTS: service.client['NODE_EXTRA_CA_CERTS'] ?? '' }),
        ...environment,
      },
      timeout: 60_000,
    },
  );
  return JSON.parse(stdout);
}

/** What all credentials that sign in at the directory are told. */
const directory = () => ({
  AZURE_AUTHORITY_HOST: service.client['AZURE_AUTHORITY_HOST'] ?? '',
  AZURE_TENANT_ID: 'adfs',
  AZURE_CLIENT_ID: client.appId,
});
const federated = () => ({ ...directory(), AZURE_FEDERATED_TOKEN_FILE: tokenFile() });

describe('does what its role says, and no more', () => {
  test.each([
    ['ClientSecretCredential', () => ({ ...directory(), CLIENT_SECRET: secret })],
    [
      'ClientCertificateCredential',
      () => ({ ...directory(), CERTIFICATE_FILE: certificateFile() }),
    ],
    [
      'ClientCertificateCredential with its chain',
      () => ({ ...directory(), CERTIFICATE_FILE: certificateFile() }),
    ],
    ['WorkloadIdentityCredential', federated],
    [
      'ManagedIdentityCredential',
      () => ({ IDENTITY_ENDPOINT: endpoint, IDENTITY_HEADER: `${client.appId}.${secret}` }),
    ],
    ['DefaultAzureCredential', () => ({ ...directory(), AZURE_CLIENT_SECRET: secret })],
  ])('%s', async (credential, environment) => {
    expect(await signIn(credential, environment())).toEqual(AS_THE_ROLE_SAYS);
  });

  test.each([
    ['a certificate', () => ({ ...directory(), AZURE_CLIENT_CERTIFICATE_PATH: certificateFile() })],
    ['a federated token', federated],
    [
      'a managed identity',
      () => ({
        IDENTITY_ENDPOINT: endpoint,
        IDENTITY_HEADER: `${client.appId}.${secret}`,
        // Without it the class asks a cloud's metadata address first, which isn't there.
        AZURE_TOKEN_CREDENTIALS: 'ManagedIdentityCredential',
      }),
    ],
  ])('DefaultAzureCredential with %s', async (_what, environment) => {
    expect(await signIn('DefaultAzureCredential', environment())).toEqual(AS_THE_ROLE_SAYS);
  });
});

describe('strongroom identity-agent', () => {
  const settings = () => ({
    PATH: process.env['PATH'] ?? '',
    NODE_EXTRA_CA_CERTS: service.client['NODE_EXTRA_CA_CERTS'] ?? '',
    STRONGROOM_IDENTITY_LISTEN: '127.0.0.1:0',
    ...federated(),
  });

  test('gives a workload that it starts a managed identity without a secret of the directory', async () => {
    const workload = [SIGN_IN, 'ManagedIdentityCredential', service.localUrl, 'shared'];
    const { stdout } = await run(
      process.execPath,
      [MAIN, 'identity-agent', '--', process.execPath, ...workload],
      { env: settings(), timeout: 60_000 },
    );
    expect(JSON.parse(stdout)).toEqual(AS_THE_ROLE_SAYS);
  });

  test("ends with the workload's status", async () => {
    const failing = run(
      process.execPath,
      [MAIN, 'identity-agent', '--', process.execPath, '-e', 'process.exit(7)'],
      { env: settings() },
    );
    await expect(failing).rejects.toMatchObject({ code: 7 });
  });

  test('serves a workload beside it, whose header stays the same while tokens are renewed', async () => {
    const headerFile = join(folder, 'header');
    const headers: string[] = [];
    for (const round of [1, 2]) {
      const agent = spawn(process.execPath, [MAIN, 'identity-agent', '--header-file', headerFile], {
        env: settings(),
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const [line] = (await once(createInterface(agent.stdout), 'line')) as [string];
      const IDENTITY_ENDPOINT = /IDENTITY_ENDPOINT=(\S+)/.exec(line)?.[1] ?? '';
      // The platform renews it: the agent reads it anew.
      await writeFile(tokenFile(), await issuer.issue(SUBJECT, AUDIENCE, { round }));
      const IDENTITY_HEADER = (await readFile(headerFile, 'utf8')).trim();
      headers.push(IDENTITY_HEADER);
      expect(
        await signIn('ManagedIdentityCredential', { IDENTITY_ENDPOINT, IDENTITY_HEADER }),
      ).toEqual(AS_THE_ROLE_SAYS);
      const stranger = await fetch(`${IDENTITY_ENDPOINT}?resource=https://strongroom.localhost`, {
        headers: { 'X-IDENTITY-HEADER': 'guessed' },
      });
      expect(stranger.status).toBe(401);
      for (const odd of [{ Origin: 'https://page.example' }, { 'Sec-Fetch-Site': 'cross-site' }])
        expect(
          (
            await fetch(`${IDENTITY_ENDPOINT}?resource=https://strongroom.localhost`, {
              headers: { 'X-IDENTITY-HEADER': IDENTITY_HEADER, ...odd },
            })
          ).status,
        ).toBe(403);
      const { hostname, port } = new URL(IDENTITY_ENDPOINT);
      const rebound = await rawRequest(
        { port: Number(port) },
        'GET /msi/token HTTP/1.1',
        `Host: ${hostname}.page.example`,
        'Connection: close',
      );
      expect(rebound.status).toBe(400);
      const ended = once(agent, 'exit');
      agent.kill('SIGTERM');
      expect(await ended).toEqual([0, null]);
    }
    expect(headers[0]).toBe(headers[1]);
    expect((await stat(headerFile)).mode & 0o777).toBe(0o600);
  });

  test.each([
    ['there is neither a command nor a header file', {}],
    ['its file is missing', { AZURE_FEDERATED_TOKEN_FILE: '' }],
  ])('says what is wrong where %s', async (_what, changes) => {
    const failing = run(process.execPath, [MAIN, 'identity-agent'], {
      env: { ...settings(), ...changes },
    });
    await expect(failing).rejects.toMatchObject({ code: 1, stderr: /^strongroom: .*$/m });
  });
});

describe('the managed identity endpoint', () => {
  const ask = async (
    headers: Readonly<Record<string, string>>,
    query: Readonly<Record<string, string>> = {},
  ) => {
    const parameters = new URLSearchParams({
      'api-version': '2019-08-01',
      resource: 'https://strongroom.localhost',
      ...query,
    });
    const answer = await fetch(`${endpoint}?${parameters.toString()}`, { headers });
    return { status: answer.status, body: (await answer.json()) as Record<string, unknown> };
  };
  const header = () => ({ 'X-IDENTITY-HEADER': `${client.appId}.${secret}` });

  test("answers in App Service's shape", async () => {
    const { status, body } = await ask(header(), { client_id: client.appId });
    expect([status, body]).toEqual([
      200,
      {
        access_token: expect.stringMatching(/^eyJ/),
        client_id: client.appId,
        expires_on: expect.stringMatching(/^\d{10}$/),
        resource: 'https://strongroom.localhost',
        token_type: 'Bearer',
      },
    ]);
  });

  test.each([
    ['without a header', () => ask({}), 401],
    ['with a wrong secret', () => ask({ 'X-IDENTITY-HEADER': `${client.appId}.srm_wrong` }), 401],
    ['with a secret alone', () => ask({ 'X-IDENTITY-HEADER': secret }), 401],
    ['for another identity', () => ask(header(), { client_id: client.principalId }), 400],
    ['for another resource', () => ask(header(), { resource: 'https://elsewhere.example' }), 400],
    ...['X-Forwarded-For', 'Forwarded', 'Origin', 'Sec-Fetch-Site'].map(
      (name): [string, () => ReturnType<typeof ask>, number] => [
        `passed on by another program, with ${name}`,
        () => ask({ ...header(), [name]: 'cross-site' }),
        403,
      ],
    ),
  ])('refuses what comes %s', async (_what, asking, status) => {
    expect(await asking()).toEqual({
      status,
      body: { statusCode: status, message: expect.any(String) },
    });
  });

  test.each(['attacker.example', '192.0.2.1:8440', 'localhost.attacker.example', 'a.1', ''])(
    'refuses what calls this machine %j, as a web page may have a browser do',
    async (host) => {
      const lines = [`Host: ${host}`, 'Connection: close', `X-IDENTITY-HEADER: ${client.appId}.x`];
      for (const target of ['/msi/token?resource=x', '/', `http://${host || 'x'}/msi/token`]) {
        const answer = await rawRequest(
          { port: Number(new URL(endpoint).port) },
          `GET ${target} HTTP/1.1`,
          ...lines,
        );
        expect([answer.status, JSON.parse(answer.body)]).toEqual([
          400,
          { statusCode: 400, message: expect.any(String) },
        ]);
      }
    },
  );

  test.each(['localhost', '127.0.0.1:1', '[::1]', 'localhost.'])(
    'answers who calls this machine %s, with a path or a whole URL',
    async (host) => {
      for (const start of ['', `http://${host}`]) {
        const answer = await rawRequest(
          { port: Number(new URL(endpoint).port) },
          `GET ${start}/msi/token?resource=https://strongroom.localhost HTTP/1.1`,
          `Host: ${host}`,
          `X-IDENTITY-HEADER: ${client.appId}.${secret}`,
          'Connection: close',
        );
        expect([start, answer.status]).toEqual([start, 200]);
      }
    },
  );

  test('keeps records of what it gave and refused', async () => {
    const { value } = await created<{ value: Record<string, unknown>[] }>(
      admin('GET', '/audit/events?operation=ManagedIdentityTokenIssue&maxresults=1000'),
    );
    expect(value).toContainEqual(
      expect.objectContaining({ status: 200, applicationId: client.appId }),
    );
    expect(value).toContainEqual(
      expect.objectContaining({
        status: 401,
        applicationId: client.appId,
        errorCode: 'invalid_client',
      }),
    );
    expect(JSON.stringify(value)).not.toContain(secret);
  });

  test('gives nothing for a secret that was taken away', async () => {
    const { passwordCredentials } = await created<{ passwordCredentials: { keyId: string }[] }>(
      admin('GET', `/v1.0/applications/${client.applicationId}`),
    );
    for (const { keyId } of passwordCredentials)
      await created(
        admin('POST', `/v1.0/applications/${client.applicationId}/removePassword`, { keyId }),
      );
    expect(await ask(header())).toMatchObject({ status: 401 });
  });
});
