import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { prepareDevelopmentCertificate } from '../../src/setup/trust/development-ca.ts';
import { type Caller, createCaller, fetchToken } from './client.ts';
import { fromGlobalSetup } from './environment.ts';
import { createTestDatabase, type TestDatabase } from './postgres.ts';
import { type RunningService, startService } from './service.ts';
import { testToken } from './softhsm.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const DOMAIN = 'hsm.example';

/** The service as in production, on this worker's token and a database of the run: a test can look into both. */
export interface ProductionService {
  readonly service: RunningService;
  readonly database: TestDatabase;
  /** Its environment, for commands beside it. */
  readonly settings: Readonly<Record<string, string>>;
  /** Its first administrator, who can use keys as well. */
  readonly admin: Caller & { close(): void };
  readonly adminToken: string;
  readonly adminPrincipalId: string;
  stop(): Promise<void>;
}

/** All that a production start is given, and a pool with its first administrator; nothing runs yet. */
export interface PreparedProduction {
  /** For files. */
  readonly place: string;
  readonly database: TestDatabase;
  readonly settings: Readonly<Record<string, string>>;
  readonly caFile: string;
  readonly credentials: {
    readonly clientId: string;
    readonly clientSecret: string;
    readonly principalId: string;
  };
  remove(): Promise<void>;
}

export async function prepareProduction(
  environment: Readonly<Record<string, string>> = {},
  /** The way by which the service comes to the database, where it isn't the straight one. */
  wayTo: (databaseUrl: string) => Promise<string> = (url) => Promise.resolve(url),
): Promise<PreparedProduction> {
  const place = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const database = await createTestDatabase();
  const token = testToken();
  const { certificate, privateKey, caFile } = await prepareDevelopmentCertificate(place, {
    domain: DOMAIN,
  });
  const file = async (name: string, content: string) => {
    await writeFile(join(place, name), content);
    return join(place, name);
  };
  const settings = {
    PATH: process.env['PATH'] ?? '',
    DATABASE_URL: await wayTo(database.serviceUrl),
    PKCS11_MODULE: token.module,
    PKCS11_TOKEN_LABEL: token.tokenLabel,
    PKCS11_PIN: token.pin,
    SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF'),
    STRONGROOM_TLS_CERT_FILE: await file('cert.pem', certificate),
    STRONGROOM_TLS_KEY_FILE: await file('key.pem', privateKey),
    STRONGROOM_DOMAIN: DOMAIN,
    ...environment,
  };
  const credentialsFile = join(place, 'administrator.json');
  await run(process.execPath, [MAIN, 'bootstrap', '--credentials', credentialsFile], {
    env: { ...settings, DATABASE_URL: database.serviceUrl },
  });
  return {
    place,
    database,
    settings,
    caFile,
    credentials: JSON.parse(
      await readFile(credentialsFile, 'utf8'),
    ) as PreparedProduction['credentials'],
    async remove() {
      await database.drop();
      await rm(place, { recursive: true, force: true });
    },
  };
}

export async function startProduction(
  environment: Readonly<Record<string, string>> = {},
  {
    wayTo,
    closeWay = () => Promise.resolve(),
    isMeasured = false,
  }: {
    readonly wayTo?: (databaseUrl: string) => Promise<string>;
    /** Gives that way up, once the service has ended: its connections would keep the database from being removed. */
    readonly closeWay?: () => Promise<void>;
    readonly isMeasured?: boolean;
  } = {},
): Promise<ProductionService> {
  const prepared = await prepareProduction(environment, wayTo);
  const { place, database, settings, caFile, credentials } = prepared;
  const service = await startService(join(place, 'unused'), settings, { caFile, isMeasured });
  const adminToken = await fetchToken(service, credentials, `https://${DOMAIN}`);
  const admin = createCaller(service, adminToken);
  for (const role of [CRYPTO_OFFICER, CRYPTO_USER])
    await admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${role}`, {
      properties: { roleDefinitionId: role, principalId: credentials.principalId },
    });
  return {
    service,
    database,
    settings,
    admin,
    adminToken,
    adminPrincipalId: credentials.principalId,
    async stop() {
      admin.close();
      await service.stop();
      await closeWay();
      await prepared.remove();
    },
  };
}

const CRYPTO_OFFICER = '515eb02d-2335-4d2d-92f2-b1cbdf9c3778';
const CRYPTO_USER = '21dbd100-6940-42c2-9190-5d6cb909625b';
