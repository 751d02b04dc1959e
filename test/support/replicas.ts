import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { formatCertificateJwk } from '../../src/backup/security-domain/certificate-jwk.ts';
import { prepareDevelopmentCertificate } from '../../src/setup/trust/development-ca.ts';
import { migrate } from '../../src/store/migrate.ts';
import { azureDomain } from './azure-domain.ts';
import { type Caller, createCaller, fetchToken } from './client.ts';
import { type Machine, makeMachines } from './machines.ts';
import { type PostgresPair, startPostgresPair } from './postgres-pair.ts';
import { ROLE } from './roles.ts';
import { type RunningService, startService } from './service.ts';
import { makeToken } from './softhsm.ts';
import { until } from './until.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const DOMAIN = 'hsm.example';
const NAME = `main.${DOMAIN}`;
const PORT = 8443;

/** One machine with an HSM of its own. */
export interface TestReplica {
  readonly machine: Machine;
  readonly settings: Readonly<Record<string, string>>;
  /** Undefined while it doesn't run. */
  service: RunningService | undefined;
  /** For createCaller. */
  readonly at: {
    readonly port: number;
    readonly ca: string;
    readonly address: string;
    readonly name: string;
  };
}

export interface TestReplicas {
  readonly all: readonly [TestReplica, TestReplica, TestReplica];
  readonly postgres: PostgresPair;
  readonly adminToken: string;
  /** By a replica. */
  caller(replica: TestReplica, token?: string): Caller & { close(): void };
  start(replica: TestReplica): Promise<void>;
  /** Brings the root keys into its HSM, by the security domain and two of its custodians, and starts it. */
  join(replica: TestReplica): Promise<void>;
  /** Its machine is lost: it is put away with its HSM, and an empty one stands in its place. */
  replaceMachine(replica: TestReplica): Promise<void>;
  strongroom(replica: TestReplica, ...words: readonly string[]): Promise<string>;
  remove(): Promise<void>;
}

/** Three replicas, a primary and a synchronous standby, each on a machine of its own. The first replica serves. */
export async function startReplicas(): Promise<TestReplicas> {
  const place = await mkdtemp(join(tmpdir(), 'strongroom-replicas-'));
  const machines = makeMachines();
  const postgres = await startPostgresPair([machines.add('p1', 11), machines.add('p2', 12)]);
  await migrate(postgres.ownerUrl);
  const { certificate, privateKey, caFile } = await prepareDevelopmentCertificate(place, {
    domain: DOMAIN,
  });
  const file = async (name: string, content: string) => {
    const path = join(place, name);
    await writeFile(path, content);
    return path;
  };
  const certificateFile = await file('cert.pem', certificate);
  const keyFile = await file('key.pem', privateKey);
  const ca = await readFile(caFile, 'utf8');
  const tokens: Awaited<ReturnType<typeof makeToken>>[] = [];

  async function newReplica(number: number): Promise<TestReplica> {
    const machine = machines.add(`r${number}`, 20 + number);
    const token = await makeToken();
    tokens.push(token);
    return {
      machine,
      service: undefined,
      at: { port: PORT, ca, address: machine.clientAddress, name: NAME },
      settings: {
        PATH: process.env['PATH'] ?? '',
        ...token.environment,
        DATABASE_URL: postgres.serviceUrl,
        STRONGROOM_REPLICA: `replica-${number}`,
        STRONGROOM_DOMAIN: DOMAIN,
        STRONGROOM_TLS_CERT_FILE: certificateFile,
        STRONGROOM_TLS_KEY_FILE: keyFile,
        STRONGROOM_LISTEN: `${machine.clientAddress}:${PORT}`,
        STRONGROOM_WORKERS: '1',
        STRONGROOM_KEYS: 'sealed',
      },
    };
  }
  const all = [await newReplica(1), await newReplica(2), await newReplica(3)] as const;

  const strongroom = async (replica: TestReplica, ...words: readonly string[]) =>
    (await run(process.execPath, [MAIN, ...words], { env: replica.settings })).stdout;
  async function start(replica: TestReplica): Promise<void> {
    replica.service = await startService(join(place, 'unused'), replica.settings, {
      caFile,
      namespace: replica.machine.namespace,
      isMeasured: true,
    });
  }

  const [first] = all;
  const credentialsFile = join(place, 'administrator.json');
  await strongroom(first, 'bootstrap', '--credentials', credentialsFile);
  const credentials = JSON.parse(await readFile(credentialsFile, 'utf8')) as {
    readonly clientId: string;
    readonly clientSecret: string;
    readonly principalId: string;
  };
  await start(first);
  const adminToken = await fetchToken(first.at, credentials, `https://${DOMAIN}`);
  const admin = createCaller(first.at, adminToken);
  for (const role of [ROLE.officer, ROLE.user])
    await admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${role}`, {
      properties: { roleDefinitionId: role, principalId: credentials.principalId },
    });
  const certificates = azureDomain.custodians.map((one) => formatCertificateJwk(one.certificate));
  const answer = await admin('POST', '/securitydomain/download?api-version=7.5', {
    certificates,
    required: 2,
  });
  await file('domain.json', answer.json<{ value: string }>().value);
  for (const [index, { pem }] of azureDomain.custodians.entries())
    await file(`custodian-${index}.pem`, pem.privateKey);
  await until(async () => {
    const pending = await admin('GET', '/securitydomain/download/pending?api-version=7.5');
    return pending.json<{ status: string }>().status === 'Success';
  });
  admin.close();

  let joins = 0;
  return {
    all: [...all],
    postgres,
    adminToken,
    caller: (replica, token = adminToken) => createCaller(replica.at, token),
    start,
    async join(replica) {
      const at = (name: string) => join(place, `${(joins += 1)}-${name}`);
      const [transfer, blob] = [at('transfer.pem'), at('blob.json')];
      await strongroom(replica, 'security-domain', 'transfer-key', '--out', transfer);
      const custodians = [0, 2].map((index) => join(place, `custodian-${index}.pem`));
      await strongroom(
        replica,
        ...['security-domain', 'restore-blob', join(place, 'domain.json')],
        ...['--transfer-key', transfer, '--key', ...custodians, '--out', blob],
      );
      await strongroom(replica, 'security-domain', 'restore', blob);
      await start(replica);
    },
    async replaceMachine(replica) {
      await replica.service?.kill();
      replica.service = undefined;
      const token = await makeToken();
      tokens.push(token);
      Object.assign(replica.settings, token.environment);
    },
    strongroom,
    async remove() {
      await Promise.all(all.map(async ({ service }) => service?.stop()));
      await postgres.remove();
      machines.remove();
      for (const token of tokens) await token.remove();
      await rm(place, { recursive: true, force: true });
    },
  };
}
