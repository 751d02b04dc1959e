import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { prepareDevelopmentCertificate } from '../../src/setup/trust/development-ca.ts';
import { type Caller, createCaller, fetchToken } from './client.ts';
import { fromGlobalSetup } from './environment.ts';
import { KEEPING_SETTINGS } from './keeping.ts';
import { buildModuleShim, hasCompiler } from './module-shim.ts';
import { onceARun } from './once-a-run.ts';
import { createTestDatabase, type TestDatabase } from './postgres.ts';
import { type RunningService, startService } from './service.ts';
import { productionToken } from './softhsm.ts';
import { ROLE } from './roles.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
const DOMAIN = 'hsm.example';

/** The service as in production, on the run's production token and a database of its own: a test can look into both. */
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

/** A database and a token with a pool in which a service has run once: what prepareProduction() copies. */
interface PreparedPool {
  readonly databaseName: string;
  readonly credentials: PreparedProduction['credentials'];
}

/** Makes that pool, whose bootstrap and first start take as long as five later ones: once a run, for all suites. */
async function preparePool(): Promise<PreparedPool> {
  const shim = (await hasCompiler()) ? await buildModuleShim() : undefined;
  const { place, database, settings, caFile, credentials } = await bootstrap(shim?.environment);
  await shim?.remove();
  const service = await startService(
    join(place, 'unused'),
    { ...settings, PKCS11_MODULE: productionToken().module, STRONGROOM_WORKERS: '1' },
    { caFile },
  );
  await service.stop();
  await rm(place, { recursive: true, force: true });
  return { databaseName: database.name, credentials };
}

/**
 * A pool of its own, which nothing serves yet.
 * @param hasDomain whether it is used only once its security domain has been downloaded
 * @throws Error with what `strongroom bootstrap` has printed
 */
export async function bootstrap(
  environment: Readonly<Record<string, string>> = {},
  { hasDomain = false } = {},
): Promise<PreparedProduction> {
  const database = await createTestDatabase();
  const place = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const { settings: common, caFile } = await settingsIn(place, database.serviceUrl);
  const settings = { ...common, ...environment };
  const remove = async () => {
    await database.drop();
    await rm(place, { recursive: true, force: true });
  };
  const credentialsFile = join(place, 'administrator.json');
  const words = ['--credentials', credentialsFile, ...(hasDomain ? [] : ['--no-security-domain'])];
  try {
    await run(process.execPath, [MAIN, 'bootstrap', ...words], { env: settings });
  } catch (error) {
    await remove();
    throw error;
  }
  const credentials = JSON.parse(
    await readFile(credentialsFile, 'utf8'),
  ) as PreparedPool['credentials'];
  return { place, database, settings, caFile, credentials, remove };
}

/**
 * As startProduction, in a pool of its own that is made with these settings: for tokens that aren't the run's own.
 * @throws Error with what was printed, where the settings are refused
 */
export async function startNewPool(
  environment: Readonly<Record<string, string>>,
  options: { readonly hasDomain?: boolean } = {},
): Promise<ProductionService> {
  const prepared = await bootstrap(environment, options);
  try {
    return await serve(prepared);
  } catch (error) {
    await prepared.remove();
    throw error;
  }
}

export async function prepareProduction(
  environment: Readonly<Record<string, string>> = {},
  /** The way by which the service comes to the database, where it isn't the straight one. */
  wayTo: (databaseUrl: string) => Promise<string> = (url) => Promise.resolve(url),
): Promise<PreparedProduction> {
  const { databaseName, credentials } = await onceARun('prepared-pool', preparePool);
  const place = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const database = await createTestDatabase(databaseName);
  const { settings, caFile } = await settingsIn(place, await wayTo(database.serviceUrl));
  return {
    place,
    database,
    settings: { ...settings, ...environment },
    caFile,
    credentials,
    async remove() {
      await database.drop();
      await rm(place, { recursive: true, force: true });
    },
  };
}

/** The settings of a production start, with a certificate in the folder. */
async function settingsIn(
  place: string,
  databaseUrl: string,
): Promise<{ readonly settings: Readonly<Record<string, string>>; readonly caFile: string }> {
  const token = productionToken();
  const { certificate, privateKey, caFile } = await prepareDevelopmentCertificate(place, {
    domain: DOMAIN,
  });
  const file = async (name: string, content: string) => {
    await writeFile(join(place, name), content);
    return join(place, name);
  };
  const settings = {
    PATH: process.env['PATH'] ?? '',
    DATABASE_URL: databaseUrl,
    PKCS11_MODULE: token.module,
    PKCS11_TOKEN_LABEL: token.tokenLabel,
    PKCS11_PIN: token.pin,
    SOFTHSM2_CONF: fromGlobalSetup('SOFTHSM2_CONF'),
    STRONGROOM_TLS_CERT_FILE: await file('cert.pem', certificate),
    STRONGROOM_TLS_KEY_FILE: await file('key.pem', privateKey),
    STRONGROOM_DOMAIN: DOMAIN,
    ...KEEPING_SETTINGS,
  };
  return { settings, caFile };
}

export interface ProductionOptions {
  readonly wayTo?: (databaseUrl: string) => Promise<string>;
  /** Gives that way up, once the service has ended: its connections would keep the database from being removed. */
  readonly closeWay?: () => Promise<void>;
  readonly isMeasured?: boolean;
}

export async function startProduction(
  environment: Readonly<Record<string, string>> = {},
  { wayTo, ...options }: ProductionOptions = {},
): Promise<ProductionService> {
  return serve(await prepareProduction(environment, wayTo), options);
}

async function serve(
  prepared: PreparedProduction,
  { closeWay = () => Promise.resolve(), isMeasured = false }: Omit<ProductionOptions, 'wayTo'> = {},
): Promise<ProductionService> {
  const { place, database, settings, caFile, credentials } = prepared;
  const service = await startService(join(place, 'unused'), settings, { caFile, isMeasured });
  const adminToken = await fetchToken(service, credentials, `https://${DOMAIN}`);
  const admin = createCaller(service, adminToken);
  for (const role of [ROLE.officer, ROLE.user])
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
