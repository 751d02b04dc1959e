import { z } from 'zod';
import { OperatorError } from '../core/operator-error.ts';
import { withoutUndefined } from '../core/without-undefined.ts';
import { type Address, parseAddress } from './address.ts';
import { AGENT_SETTINGS, SETTINGS } from './settings.ts';
import { loadedKeysFor, memoryLimitFor } from './worker-memory.ts';

/** A setting that stops the start; the sentence names it. */
export class ConfigError extends OperatorError {
  override readonly name = 'ConfigError';
}

const Environment = z.object(SETTINGS);
const AgentEnvironment = z.object(AGENT_SETTINGS);
type Variables = Readonly<Record<string, string | undefined>>;

/** All settings but the secrets. Read once, never changed. */
export type Config = Readonly<ReturnType<typeof toConfig>>;

/** What is chosen by where the operator says nothing. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
}

export interface Secrets {
  readonly databaseUrl?: string;
  readonly auditDatabaseUrl?: string;
  readonly pin?: string;
  readonly pinFile?: string;
}

/**
 * Reads the settings of the environment; an empty variable counts as absent.
 * @throws ConfigError that names the first wrong setting and never repeats its value
 */
export function readConfig(
  environment: Variables,
  machine: Machine,
): { config: Config; secrets: Secrets } {
  const env = parse(Environment, environment);
  requireTogether(env, 'STRONGROOM_TLS_CERT_FILE', 'STRONGROOM_TLS_KEY_FILE');
  if (env.PKCS11_MODULE !== undefined) {
    requireTogether(env, 'PKCS11_MODULE', 'PKCS11_TOKEN_LABEL');
    if ((env.PKCS11_PIN === undefined) === (env.PKCS11_PIN_FILE === undefined))
      throw new ConfigError('PKCS11_MODULE needs one of PKCS11_PIN and PKCS11_PIN_FILE.');
  }
  requireTogether(env, 'STRONGROOM_BACKUP_SAS_FILE', 'STRONGROOM_BACKUP_SAS_CONTAINER');
  requireTogether(env, 'STRONGROOM_BACKUP_S3_ENDPOINT', 'STRONGROOM_BACKUP_S3_BUCKET');
  if (env.STRONGROOM_BACKUP_S3_CREDENTIALS_FILE !== undefined)
    requireTogether(env, 'STRONGROOM_BACKUP_S3_BUCKET', 'STRONGROOM_BACKUP_S3_CREDENTIALS_FILE');
  const config = toConfig(env, environment, machine);
  const secrets: Secrets = {
    ...(env.DATABASE_URL !== undefined && { databaseUrl: env.DATABASE_URL }),
    ...(env.STRONGROOM_AUDIT_DATABASE_URL !== undefined && {
      auditDatabaseUrl: env.STRONGROOM_AUDIT_DATABASE_URL,
    }),
    ...(env.PKCS11_PIN !== undefined && { pin: env.PKCS11_PIN }),
    ...(env.PKCS11_PIN_FILE !== undefined && { pinFile: env.PKCS11_PIN_FILE }),
  };
  return { config: Object.freeze(config), secrets };
}

/** Sizes are bytes; what is absent is chosen, set up, or switched off. */
function toConfig(env: z.output<typeof Environment>, given: Variables, machine: Machine) {
  const workers = env.STRONGROOM_WORKERS ?? machine.cores;
  const workerMemoryLimit =
    env.STRONGROOM_WORKER_MEMORY_LIMIT_MB === undefined
      ? memoryLimitFor({ memoryBytes: machine.memoryBytes, workers })
      : env.STRONGROOM_WORKER_MEMORY_LIMIT_MB * 1024 ** 2;
  return {
    dataFolder: env.STRONGROOM_DATA_DIR,
    listen: parseAddress(env.STRONGROOM_LISTEN),
    domain: env.STRONGROOM_DOMAIN,
    pool: env.STRONGROOM_POOL,
    ...(env.STRONGROOM_REPLICA !== undefined && { replicaName: env.STRONGROOM_REPLICA }),
    workers,
    workerMemoryLimit,
    ...(env.STRONGROOM_SESSIONS !== undefined && { sessions: env.STRONGROOM_SESSIONS }),
    loadedKeys: env.STRONGROOM_LOADED_KEYS ?? loadedKeysFor(workerMemoryLimit),
    ...(env.STRONGROOM_KEYS !== undefined && { keeping: env.STRONGROOM_KEYS }),
    softDeleteDays: env.STRONGROOM_SOFT_DELETE_DAYS,
    purgeProtection: env.STRONGROOM_PURGE_PROTECTION,
    ...(env.STRONGROOM_TLS_CERT_FILE !== undefined &&
      env.STRONGROOM_TLS_KEY_FILE !== undefined && {
        tls: {
          certificateFile: env.STRONGROOM_TLS_CERT_FILE,
          keyFile: env.STRONGROOM_TLS_KEY_FILE,
        },
      }),
    ...(env.PKCS11_MODULE !== undefined &&
      env.PKCS11_TOKEN_LABEL !== undefined && {
        pkcs11: {
          module: env.PKCS11_MODULE,
          tokenLabel: env.PKCS11_TOKEN_LABEL,
          ...withoutUndefined({
            libraryParameters: env.PKCS11_LIBRARY_PARAMETERS,
            keyWrapMechanism: env.PKCS11_KEY_WRAP_MECHANISM,
            objectLimit: env.PKCS11_OBJECT_LIMIT,
          }),
        },
      }),
    ...(env.STRONGROOM_TOKENS_FILE !== undefined && { tokensFile: env.STRONGROOM_TOKENS_FILE }),
    opensPoolsAtStart: env.STRONGROOM_POOLS_OPEN === 'start',
    attestation: {
      ...(env.STRONGROOM_ATTESTATION_AUTHORITIES !== undefined && {
        authorities: env.STRONGROOM_ATTESTATION_AUTHORITIES,
      }),
      ...(env.STRONGROOM_ATTESTATION_CA_FILE !== undefined && {
        caFile: env.STRONGROOM_ATTESTATION_CA_FILE,
      }),
    },
    issuers: {
      ...(env.STRONGROOM_ISSUERS_FILE !== undefined && { file: env.STRONGROOM_ISSUERS_FILE }),
      ...(env.STRONGROOM_ISSUERS_CA_FILE !== undefined && {
        caFile: env.STRONGROOM_ISSUERS_CA_FILE,
      }),
    },
    federatedIssuers: env.STRONGROOM_FEDERATED_ISSUERS ?? [],
    signingKeyDays: env.STRONGROOM_SIGNING_KEY_DAYS,
    limits: {
      perPrincipal: env.STRONGROOM_LIMIT_PER_PRINCIPAL,
      perAddress: env.STRONGROOM_LIMIT_PER_ADDRESS,
      refusedCredentials: env.STRONGROOM_LIMIT_REFUSED_CREDENTIALS,
    },
    backupAuditRecords: env.STRONGROOM_BACKUP_AUDIT_RECORDS,
    backups: {
      ...withoutUndefined({
        hosts: env.STRONGROOM_BACKUP_HOSTS,
        caFile: env.STRONGROOM_BACKUP_CA_FILE,
      }),
      ...(env.STRONGROOM_BACKUP_SAS_FILE !== undefined &&
        env.STRONGROOM_BACKUP_SAS_CONTAINER !== undefined && {
          sas: {
            file: env.STRONGROOM_BACKUP_SAS_FILE,
            container: env.STRONGROOM_BACKUP_SAS_CONTAINER,
          },
        }),
      ...(env.STRONGROOM_BACKUP_S3_ENDPOINT !== undefined &&
        env.STRONGROOM_BACKUP_S3_BUCKET !== undefined && {
          s3: {
            origin: new URL(env.STRONGROOM_BACKUP_S3_ENDPOINT).origin,
            region: env.STRONGROOM_BACKUP_S3_REGION,
            bucket: env.STRONGROOM_BACKUP_S3_BUCKET,
            ...withoutUndefined({ credentialsFile: env.STRONGROOM_BACKUP_S3_CREDENTIALS_FILE }),
          },
        }),
    },
    ...tracesUrlOf(env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, env.OTEL_EXPORTER_OTLP_ENDPOINT),
    hasDatabaseUrl: env.DATABASE_URL !== undefined,
    // Here an empty variable doesn't count as absent: it switches them off.
    ...(given['STRONGROOM_METRICS_LISTEN'] !== '' && {
      metricsListen: parseAddress(env.STRONGROOM_METRICS_LISTEN),
    }),
    metricsHosts: env.STRONGROOM_METRICS_HOSTS ?? [],
    ...(given['STRONGROOM_IDENTITY_LISTEN'] !== '' && {
      identityListen: parseAddress(env.STRONGROOM_IDENTITY_LISTEN),
    }),
    logLevel: env.STRONGROOM_LOG_LEVEL,
  };
}

/** What `strongroom identity-agent` is told, in the names by which Azure's workload identity tells workloads. */
export interface AgentConfig {
  readonly listen: Address;
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly tokenFile: string;
  readonly logLevel: string;
}

/** @throws ConfigError as readConfig */
export function readAgentConfig(environment: Variables): AgentConfig {
  const env = parse(AgentEnvironment, environment);
  const authority = env.AZURE_AUTHORITY_HOST.replace(/\/$/, '');
  return {
    listen: parseAddress(env.STRONGROOM_IDENTITY_LISTEN),
    tokenUrl: `${authority}/${env.AZURE_TENANT_ID}/oauth2/v2.0/token`,
    clientId: env.AZURE_CLIENT_ID,
    tokenFile: env.AZURE_FEDERATED_TOKEN_FILE,
    logLevel: env.STRONGROOM_LOG_LEVEL,
  };
}

function parse<Shape>(schema: z.ZodType<Shape>, environment: Variables): Shape {
  const given = Object.fromEntries(
    Object.entries(environment).filter(([, value]) => value !== undefined && value !== ''),
  );
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  throw new ConfigError(`${issue?.path.join('.') ?? 'A setting'}: ${issue?.message ?? 'is wrong'}`);
}

/** As OpenTelemetry's exporter specification has it: the general endpoint gets a path, the one for traces none. */
function tracesUrlOf(own: string | undefined, general: string | undefined) {
  if (own !== undefined) return { tracesUrl: own };
  return general === undefined ? {} : { tracesUrl: `${general.replace(/\/$/, '')}/v1/traces` };
}

function requireTogether<Name extends string>(
  env: Readonly<Partial<Record<Name, unknown>>>,
  first: Name,
  second: Name,
): void {
  if ((env[first] === undefined) !== (env[second] === undefined))
    throw new ConfigError(`${first} and ${second} are set together or not at all.`);
}

/** By the setting that gives each: whether it is given. */
const partsOf = (config: Config) => ({
  DATABASE_URL: config.hasDatabaseUrl,
  PKCS11_MODULE: config.pkcs11 !== undefined,
  'STRONGROOM_TLS_CERT_FILE and STRONGROOM_TLS_KEY_FILE': config.tls !== undefined,
});

/** Production: database, HSM and certificate are given, so nothing at all is set up by the start. */
export function isProduction(config: Config): boolean {
  return Object.values(partsOf(config)).every(Boolean);
}

/**
 * Who gives two of database, HSM and certificate means production, and has forgotten the third: a development start would migrate
 * that database, or make root keys in that HSM.
 * @throws ConfigError that names the third
 */
export function requireNothingForgotten(config: Config): void {
  const missing = Object.entries(partsOf(config)).filter(([, isGiven]) => !isGiven);
  const [forgotten, ...others] = missing.map(([name]) => name);
  if (forgotten === undefined || others.length > 0) return;
  throw new ConfigError(
    `${forgotten}: missing, while the other two of database, HSM and certificate are given, so nothing is set up in their place. To have the rest set up for development, in that database and HSM too, say \`strongroom serve --development\`, as \`npm start\` does.`,
  );
}

/** @throws ConfigError where a command needs the setting and it is absent */
export function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new ConfigError(`${name} is missing.`);
  return value;
}
