import { z } from 'zod';
import { isIssuerUrl } from '../core/directory/issuer-url.ts';
import { OperatorError } from '../core/operator-error.ts';
import { type Address, isLoopback, parseAddress } from './address.ts';
import { loadedKeysFor, memoryLimitFor } from './worker-memory.ts';

/** A setting that stops the start; the sentence names it. */
export class ConfigError extends OperatorError {
  override readonly name = 'ConfigError';
}

/** All settings but the secrets. Read once by main.ts, never changed. */
export interface Config {
  readonly dataFolder: string;
  readonly listen: Address;
  readonly domain: string;
  readonly pool: string;
  readonly workers: number;
  /** Of each worker process's resident memory, in bytes. */
  readonly workerMemoryLimit: number;
  /** Sessions of the PKCS#11 pool, per process; chosen from cores and token where absent. */
  readonly sessions?: number;
  /** Keys that are kept in the HSM as session objects, per process. */
  readonly loadedKeys: number;
  readonly softDeleteDays: number;
  readonly purgeProtection: boolean;
  /** Absent: made by the development set-up. */
  readonly tls?: { readonly certificateFile: string; readonly keyFile: string };
  readonly pkcs11?: { readonly module: string; readonly tokenLabel: string };
  /** Who may attest environments to which keys are released, and which authorities their certificates may come from. */
  readonly attestation: { readonly authorities?: readonly string[]; readonly caFile?: string };
  /** OIDC issuers besides the built-in directory; PEM of authorities that their certificates may come from. */
  readonly issuers: { readonly file?: string; readonly caFile?: string };
  /** Issuers that federated credentials may name though they are at no public address. */
  readonly federatedIssuers: readonly string[];
  /** Age at which the key that signs the directory's tokens gets a successor. */
  readonly signingKeyDays: number;
  /** Requests a second, of each process. */
  readonly limits: {
    readonly perPrincipal: number;
    readonly perAddress: number;
    readonly refusedCredentials: number;
  };
  /** Where traces are sent; absent: nowhere. */
  readonly tracesUrl?: string;
  readonly hasDatabaseUrl: boolean;
  /** Absent where metrics are switched off. */
  readonly metricsListen?: Address;
  /** Names by which the metrics listener may be called besides its own. */
  readonly metricsHosts: readonly string[];
  /** On this machine; absent where the managed identity endpoint is switched off. */
  readonly identityListen?: Address;
  readonly logLevel: string;
}

/** What is chosen by where the operator says nothing. */
export interface Machine {
  readonly cores: number;
  readonly memoryBytes: number;
}

export interface Secrets {
  readonly databaseUrl?: string;
  readonly pin?: string;
  readonly pinFile?: string;
}

const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const count = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const HOST_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const hostName = z.string().regex(HOST_NAME, { message: 'must be a host name in lower case' });
const isHostName = (text: string) => HOST_NAME.test(text);

const isHttpsUrl = (text: string) => URL.canParse(text) && new URL(text).protocol === 'https:';

/** One or more, by comma or blank. */
const commaList = (isOne: (text: string) => boolean, message: string) =>
  z
    .string()
    .transform((text) => text.split(/[\s,]+/).filter((one) => one !== ''))
    .refine((all) => all.length > 0 && all.every(isOne), { message })
    .optional();

const address = z
  .string()
  .regex(/^(\[[0-9a-fA-F:.]+\]|[^:[\]]+):\d{1,5}$/, { message: 'must be address:port' })
  .refine((text) => Number(text.slice(text.lastIndexOf(':') + 1)) <= 65_535, {
    message: 'the port must be at most 65535',
  });

const identityAddress = address
  .refine((text) => isLoopback(parseAddress(text)), {
    message: 'must be a loopback address: secrets cross it in the clear',
  })
  .default('127.0.0.1:8440');
const logLevel = z.enum(['fatal', 'error', 'warn', 'info', 'debug']).default('info');

const Environment = z.object({
  STRONGROOM_DATA_DIR: z.string().min(1).default('.strongroom'),
  STRONGROOM_LISTEN: address.default('127.0.0.1:8443'),
  STRONGROOM_METRICS_LISTEN: address.default('127.0.0.1:9464'),
  STRONGROOM_METRICS_HOSTS: commaList(isHostName, 'must be host names, with commas between them'),
  STRONGROOM_IDENTITY_LISTEN: identityAddress,
  STRONGROOM_DOMAIN: hostName.default('strongroom.localhost'),
  STRONGROOM_POOL: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, { message: 'must be one label of a host name' })
    .default('main'),
  STRONGROOM_TLS_CERT_FILE: z.string().min(1).optional(),
  STRONGROOM_TLS_KEY_FILE: z.string().min(1).optional(),
  DATABASE_URL: z
    .string()
    .regex(/^postgres(ql)?:\/\//, { message: 'must begin with postgres://' })
    .optional(),
  PKCS11_MODULE: z.string().min(1).optional(),
  PKCS11_TOKEN_LABEL: z.string().min(1).max(32).optional(),
  PKCS11_PIN: z.string().min(1).optional(),
  PKCS11_PIN_FILE: z.string().min(1).optional(),
  STRONGROOM_SESSIONS: count(1, 1024).optional(),
  STRONGROOM_LOADED_KEYS: count(16, 1_000_000).optional(),
  STRONGROOM_WORKERS: count(1, 256).optional(),
  STRONGROOM_WORKER_MEMORY_LIMIT_MB: count(64, 1024 * 1024).optional(),
  STRONGROOM_SOFT_DELETE_DAYS: count(7, 90).default(90),
  STRONGROOM_PURGE_PROTECTION: flag.default(false),
  STRONGROOM_ATTESTATION_AUTHORITIES: commaList(
    isHttpsUrl,
    'must be https URLs, with commas between them',
  ),
  STRONGROOM_ATTESTATION_CA_FILE: z.string().min(1).optional(),
  STRONGROOM_ISSUERS_FILE: z.string().min(1).optional(),
  STRONGROOM_ISSUERS_CA_FILE: z.string().min(1).optional(),
  STRONGROOM_FEDERATED_ISSUERS: commaList(
    isIssuerUrl,
    'must be https URLs (or http ones on this machine), with commas between them',
  ),
  STRONGROOM_SIGNING_KEY_DAYS: count(1, 3650).default(30),
  STRONGROOM_LIMIT_PER_PRINCIPAL: count(1, 1_000_000).default(5_000),
  STRONGROOM_LIMIT_PER_ADDRESS: count(1, 1_000_000).default(20_000),
  STRONGROOM_LIMIT_REFUSED_CREDENTIALS: count(1, 1_000_000).default(200),
  // OpenTelemetry's own names: where these are set, its programs send there.
  OTEL_EXPORTER_OTLP_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: z.url({ protocol: /^https?$/ }).optional(),
  STRONGROOM_LOG_LEVEL: logLevel,
});

/**
 * Reads the settings of the environment; an empty variable counts as absent.
 * @throws ConfigError that names the first wrong setting and never repeats its value
 */
export function readConfig(
  environment: Readonly<Record<string, string | undefined>>,
  machine: Machine,
): { config: Config; secrets: Secrets } {
  const env = parse(Environment, environment);
  requireTogether(env, 'STRONGROOM_TLS_CERT_FILE', 'STRONGROOM_TLS_KEY_FILE');
  if (env.PKCS11_MODULE !== undefined) {
    requireTogether(env, 'PKCS11_MODULE', 'PKCS11_TOKEN_LABEL');
    if ((env.PKCS11_PIN === undefined) === (env.PKCS11_PIN_FILE === undefined))
      throw new ConfigError('PKCS11_MODULE needs one of PKCS11_PIN and PKCS11_PIN_FILE.');
  }
  const workers = env.STRONGROOM_WORKERS ?? machine.cores;
  const workerMemoryLimit =
    env.STRONGROOM_WORKER_MEMORY_LIMIT_MB === undefined
      ? memoryLimitFor({ memoryBytes: machine.memoryBytes, workers })
      : env.STRONGROOM_WORKER_MEMORY_LIMIT_MB * 1024 ** 2;
  const config: Config = {
    dataFolder: env.STRONGROOM_DATA_DIR,
    listen: parseAddress(env.STRONGROOM_LISTEN),
    domain: env.STRONGROOM_DOMAIN,
    pool: env.STRONGROOM_POOL,
    workers,
    workerMemoryLimit,
    ...(env.STRONGROOM_SESSIONS !== undefined && { sessions: env.STRONGROOM_SESSIONS }),
    loadedKeys: env.STRONGROOM_LOADED_KEYS ?? loadedKeysFor(workerMemoryLimit),
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
        pkcs11: { module: env.PKCS11_MODULE, tokenLabel: env.PKCS11_TOKEN_LABEL },
      }),
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
    ...tracesUrlOf(env.OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, env.OTEL_EXPORTER_OTLP_ENDPOINT),
    hasDatabaseUrl: env.DATABASE_URL !== undefined,
    // Here an empty variable doesn't count as absent: it switches them off.
    ...(environment['STRONGROOM_METRICS_LISTEN'] !== '' && {
      metricsListen: parseAddress(env.STRONGROOM_METRICS_LISTEN),
    }),
    metricsHosts: env.STRONGROOM_METRICS_HOSTS ?? [],
    ...(environment['STRONGROOM_IDENTITY_LISTEN'] !== '' && {
      identityListen: parseAddress(env.STRONGROOM_IDENTITY_LISTEN),
    }),
    logLevel: env.STRONGROOM_LOG_LEVEL,
  };
  const secrets: Secrets = {
    ...(env.DATABASE_URL !== undefined && { databaseUrl: env.DATABASE_URL }),
    ...(env.PKCS11_PIN !== undefined && { pin: env.PKCS11_PIN }),
    ...(env.PKCS11_PIN_FILE !== undefined && { pinFile: env.PKCS11_PIN_FILE }),
  };
  return { config: Object.freeze(config), secrets };
}

/** What `strongroom identity-agent` is told, in the names by which Azure's workload identity tells workloads. */
export interface AgentConfig {
  readonly listen: Address;
  readonly tokenUrl: string;
  readonly clientId: string;
  readonly tokenFile: string;
  readonly logLevel: string;
}

const AgentEnvironment = z.object({
  STRONGROOM_IDENTITY_LISTEN: identityAddress,
  STRONGROOM_LOG_LEVEL: logLevel,
  AZURE_AUTHORITY_HOST: z.string().refine(isHttpsUrl, { message: 'must be an https URL' }),
  AZURE_TENANT_ID: z.string().regex(/^[0-9a-zA-Z.-]+$/, { message: 'must be a tenant' }),
  AZURE_CLIENT_ID: z.guid(),
  AZURE_FEDERATED_TOKEN_FILE: z.string().min(1),
});

/** @throws ConfigError as readConfig */
export function readAgentConfig(
  environment: Readonly<Record<string, string | undefined>>,
): AgentConfig {
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

function parse<Shape>(
  schema: z.ZodType<Shape>,
  environment: Readonly<Record<string, string | undefined>>,
): Shape {
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

/** Production: database, HSM and certificate are given, so nothing at all is set up by the start. */
export function isProduction(config: Config): boolean {
  return config.hasDatabaseUrl && config.pkcs11 !== undefined && config.tls !== undefined;
}

/** @throws ConfigError where a command needs the setting and it is absent */
export function required<T>(value: T | undefined, name: string): T {
  if (value === undefined) throw new ConfigError(`${name} is missing.`);
  return value;
}
