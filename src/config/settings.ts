import { z } from 'zod';
import { KEY_KEEPINGS } from '../core/keys/key-keeping.ts';
import { isHostPattern } from '../core/recovery/jobs/storage-hosts.ts';
import { isIssuerUrl } from '../core/directory/issuer-url.ts';
import { isLoopback, parseAddress } from './address.ts';

/**
 * The settings, which are environment variables: what each may be, and what the table in README.md says of it. `default` is
 * there where the schema has none of its own to show.
 */
declare module 'zod' {
  interface GlobalMeta {
    readonly default?: string;
    readonly meaning?: string;
  }
}

const flag = z.enum(['true', 'false']).transform((text) => text === 'true');
const count = (least: number, most: number) => z.coerce.number().int().min(least).max(most);
const HOST_NAME = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/;
const hostName = z.string().regex(HOST_NAME, { message: 'must be a host name in lower case' });
const isHostName = (text: string) => HOST_NAME.test(text);

const isHttpsUrl = (text: string) => URL.canParse(text) && new URL(text).protocol === 'https:';

/** One or more, separated by commas or blanks. */
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

const databaseUrl = z
  .string()
  .regex(/^postgres(ql)?:\/\//, { message: 'must begin with postgres://' });

const identityAddress = address
  .refine((text) => isLoopback(parseAddress(text)), {
    message: 'must be a loopback address: secrets cross it in the clear',
  })
  .default('127.0.0.1:8440');
const logLevel = z.enum(['fatal', 'error', 'warn', 'info', 'debug']).default('info');

export const SETTINGS = {
  STRONGROOM_DATA_DIR: z
    .string()
    .min(1)
    .default('.strongroom')
    .meta({ meaning: 'data folder of a development start' }),
  STRONGROOM_LISTEN: address
    .default('127.0.0.1:8443')
    .meta({ meaning: 'address and port of the REST API' }),
  STRONGROOM_METRICS_LISTEN: address
    .default('127.0.0.1:9464')
    .meta({ meaning: 'metrics and probes over plain HTTP; empty switches them off' }),
  STRONGROOM_METRICS_HOSTS: commaList(
    isHostName,
    'must be host names, with commas between them',
  ).meta({
    default: 'none',
    meaning:
      "host names by which the metrics listener may be called besides localhost, addresses, this machine's name and the domain: for a Prometheus that scrapes by a service's name",
  }),
  STRONGROOM_IDENTITY_LISTEN: identityAddress.meta({
    meaning: 'managed identity endpoint, plain HTTP, loopback only; empty switches it off',
  }),
  STRONGROOM_DOMAIN: hostName
    .default('strongroom.localhost')
    .meta({ meaning: 'parent domain in DNS: the pool is `https://{pool}.{domain}`' }),
  STRONGROOM_POOL: z
    .string()
    .regex(/^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$/, { message: 'must be one label of a host name' })
    .default('main')
    .meta({ meaning: 'name of the default pool, which serves bare addresses as well' }),
  STRONGROOM_TLS_CERT_FILE: z.string().min(1).optional().meta({
    default: 'made by the development CA',
    meaning: 'PEM: the certificate, with those that lead to its authority',
  }),
  STRONGROOM_TLS_KEY_FILE: z.string().min(1).optional().meta({
    default: 'made by the development CA',
    meaning: 'PEM: its private key, without a passphrase',
  }),
  DATABASE_URL: databaseUrl.optional().meta({
    default: 'PostgreSQL in the data folder',
    meaning:
      '`postgres://…` of PostgreSQL 14 or newer; several hosts with commas between them: [PostgreSQL](../cli/README.md#postgresql)',
  }),
  STRONGROOM_AUDIT_DATABASE_URL: databaseUrl.optional().meta({
    default: 'none: the primary',
    meaning:
      '`postgres://…` of a standby of that database, or of several, on which the audit log is listed and exported: [reading on a standby](../core/audit/README.md#reading-on-a-standby)',
  }),
  PKCS11_MODULE: z.string().min(1).optional().meta({
    default: 'SoftHSM2 in the data folder',
    meaning: 'library of an HSM: PKCS#11 2.40 or newer',
  }),
  PKCS11_TOKEN_LABEL: z
    .string()
    .min(1)
    .max(32)
    .optional()
    .meta({ default: 'none', meaning: 'label of the token in that HSM' }),
  PKCS11_PIN: z
    .string()
    .min(1)
    .optional()
    .meta({ default: 'none', meaning: "the token's user PIN; or `PKCS11_PIN_FILE`" }),
  PKCS11_PIN_FILE: z
    .string()
    .min(1)
    .optional()
    .meta({ default: 'none', meaning: 'file that holds the PIN' }),
  PKCS11_LIBRARY_PARAMETERS: z.string().min(1).max(4096).optional().meta({
    default: 'none',
    meaning: 'text that the library wants to be told when it is initialised, as NSS does',
  }),
  PKCS11_KEY_WRAP_MECHANISM: z
    .string()
    .regex(/^(?:0x[0-9a-f]{1,8}|\d{1,10})$/i, {
      message: 'must be a number, as 0x210B or 8459',
    })
    .transform(Number)
    .refine((number) => number <= 0xffff_ffff, { message: 'must be below 0x100000000' })
    .optional()
    .meta({
      default: 'found by trying',
      meaning: 'number under which the library has AES key wrap with padding (RFC 5649)',
    }),
  PKCS11_OBJECT_LIMIT: count(1, 10_000_000).optional().meta({
    default: 'none: the HSM itself refuses',
    meaning:
      'objects for which the HSM has room, whoever made them: a pool whose keys are resident warns from nine tenths of it on, and makes no key beyond it',
  }),
  STRONGROOM_TOKENS_FILE: z.string().min(1).optional().meta({
    default: 'none: they have the token of the default pool',
    meaning:
      'JSON: the PKCS#11 tokens that other pools may have, [each with `label`, `module` and `pinFile`](../core/pool/README.md#tokens)',
  }),
  STRONGROOM_POOLS_OPEN: z.enum(['start', 'use']).default('start').meta({
    meaning:
      'when the pools besides the default one are opened: one after the other from the `start` on, or each at its first `use`, until when it rotates and purges nothing by itself',
  }),
  STRONGROOM_SESSIONS: count(1, 1024).optional().meta({
    default: '8; with a fast HSM as many as cores, 2 to 8',
    meaning:
      'threads of a process that wait for the HSM, each with two PKCS#11 sessions; fewer where the token has fewer sessions, and one where the module supports no more',
  }),
  STRONGROOM_LOADED_KEYS: count(16, 1_000_000).optional().meta({
    default: 'what the memory limit has room for, at most 100000',
    meaning:
      'keys that a process keeps in the HSM as session objects: some 10 KB each with SoftHSM, two of one whose halves are both used; fewer where the HSM has less room',
  }),
  STRONGROOM_REPLICA: z
    .string()
    .regex(/^[\w.-]{1,253}$/, { message: 'must be letters, digits, dots, hyphens, underscores' })
    .optional()
    .meta({
      default: "the machine's host name",
      meaning: 'name by which `GET /replicas` and `doctor` show this start of the service',
    }),
  STRONGROOM_WORKERS: count(1, 256)
    .optional()
    .meta({ default: 'number of cores', meaning: 'processes that share the listener' }),
  STRONGROOM_WORKER_MEMORY_LIMIT_MB: count(64, 1024 * 1024)
    .optional()
    .meta({
      default: "half of the machine's memory by the number of workers, 512 to 2048",
      meaning:
        'resident memory of a worker process; one that has grown past it is replaced without losing a request',
    }),
  STRONGROOM_KEYS: z.enum(KEY_KEEPINGS).optional().meta({
    default: 'sealed',
    meaning:
      '`sealed`: keys are wrapped by the HSM and stored in PostgreSQL; `resident`: each is an object of the HSM, for HSMs that wrap no private keys. Fixed when the pool is made',
  }),
  STRONGROOM_SOFT_DELETE_DAYS: count(7, 90)
    .default(90)
    .meta({ meaning: '7 to 90, fixed when the pool is made' }),
  STRONGROOM_PURGE_PROTECTION: flag.default(false).meta({ meaning: "can't be switched off again" }),
  STRONGROOM_ATTESTATION_AUTHORITIES: commaList(
    isHttpsUrl,
    'must be https URLs, with commas between them',
  ).meta({
    default: 'none: no key is released',
    meaning:
      "https URLs, separated by commas: the only ones that are believed and asked, and that release policies may name. While it is unset a policy may be stored, and a release is refused with this setting's name",
  }),
  STRONGROOM_ATTESTATION_CA_FILE: z.string().min(1).optional().meta({
    default: 'the public CAs',
    meaning: "PEM of CAs that those servers' certificates may come from besides",
  }),
  STRONGROOM_ISSUERS_FILE: z.string().min(1).optional().meta({
    default: 'none: the built-in directory',
    meaning:
      'JSON: other OIDC issuers whose tokens are taken: see [External issuers](../identity/README.md#external-issuers)',
  }),
  STRONGROOM_ISSUERS_CA_FILE: z.string().min(1).optional().meta({
    default: 'the public CAs',
    meaning:
      "PEM of CAs that their servers' certificates (and those of federated credentials' issuers) may come from besides",
  }),
  STRONGROOM_FEDERATED_ISSUERS: commaList(
    isIssuerUrl,
    'must be https URLs (or http ones on this machine), with commas between them',
  ).meta({
    default: 'none: public addresses only',
    meaning:
      "URLs, separated by commas: issuers that federated credentials may name though they are at no public address, such as a cluster's own; those of `STRONGROOM_ISSUERS_FILE` may be named too",
  }),
  STRONGROOM_SIGNING_KEY_DAYS: count(1, 3650)
    .default(30)
    .meta({ meaning: "age at which the key that signs the directory's tokens gets a successor" }),
  STRONGROOM_LIMIT_PER_PRINCIPAL: count(1, 1_000_000)
    .default(5_000)
    .meta({ meaning: 'requests a second of one principal, in each process' }),
  STRONGROOM_LIMIT_PER_ADDRESS: count(1, 1_000_000)
    .default(20_000)
    .meta({ meaning: 'requests a second from one address, in each process' }),
  STRONGROOM_LIMIT_REFUSED_CREDENTIALS: count(1, 1_000_000)
    .default(200)
    .meta({ meaning: 'refused credentials a second from one address, in each process' }),
  STRONGROOM_BACKUP_AUDIT_RECORDS: flag.default(false).meta({
    meaning:
      "`true`: full backups that are asked for over REST take the audit log's records along, for which Managed HSM's API has no word. Commands and schedules have an option for it",
  }),
  STRONGROOM_BACKUP_HOSTS: commaList(
    isHostPattern,
    'must be hosts as account.blob.example.net:8443, http:// before one without TLS, or *.blob.example.net, with commas between them',
  ).meta({
    default: "Azure's clouds, at public addresses",
    meaning:
      'hosts of Azure Blob storage where backups may be: the only ones that whoever may make backups can name. One that is named whole may be at a private address, and without TLS where `http://` stands before it; `*.` stands for all public ones below a domain',
  }),
  STRONGROOM_BACKUP_CA_FILE: z.string().min(1).optional().meta({
    default: 'the public CAs',
    meaning: "PEM of CAs that the certificates of backups' storages may come from besides",
  }),
  STRONGROOM_BACKUP_SAS_FILE: z.string().min(1).optional().meta({
    default: 'none',
    meaning:
      'file that holds the SAS token by which `strongroom backup` and planned backups go to Azure Blob storage',
  }),
  STRONGROOM_BACKUP_SAS_CONTAINER: z
    .url({ protocol: /^https?$/ })
    .refine((text) => /^https?:\/\/[^/?#@]+\/[a-z0-9-]+$/.test(text), {
      message: 'must be https://account.blob.core.windows.net/container',
    })
    .optional()
    .meta({
      default: 'none',
      meaning: 'URL of the one container to which that token goes',
    }),
  STRONGROOM_BACKUP_S3_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .refine((text) => /^https?:\/\/[^/]+\/?$/.test(text), { message: 'must have no path' })
    .optional()
    .meta({
      default: 'none',
      meaning:
        'URL of a storage that speaks S3: backups may be at this URL with `/` and the bucket after it. Whoever may make backups can name it, and needs no token',
    }),
  STRONGROOM_BACKUP_S3_REGION: z
    .string()
    .regex(/^[a-z0-9-]{1,63}$/)
    .default('us-east-1')
    .meta({ meaning: 'its region' }),
  STRONGROOM_BACKUP_S3_BUCKET: z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/, { message: 'must be the name of a bucket' })
    .optional()
    .meta({ default: 'none', meaning: 'the one bucket there' }),
  STRONGROOM_BACKUP_S3_CREDENTIALS_FILE: z.string().min(1).optional().meta({
    default:
      "where AWS's own clients look: environment, `~/.aws`, a role of the machine or the pod",
    meaning:
      'file with `aws_access_key_id = …` and `aws_secret_access_key = …` on lines of their own, as in `~/.aws/credentials`',
  }),
  // OpenTelemetry's own names: where these are set, its programs send there.
  OTEL_EXPORTER_OTLP_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({
      default: 'none: no traces',
      meaning: "where OpenTelemetry's spans go, by OTLP over HTTP, to `/v1/traces` below it",
    }),
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: z
    .url({ protocol: /^https?$/ })
    .optional()
    .meta({
      default: 'none: no traces',
      meaning: 'the same, as the whole URL; wins over the other',
    }),
  STRONGROOM_LOG_LEVEL: logLevel.meta({
    meaning:
      '`fatal`, `error`, `warn`, `info` or `debug`: JSON lines on standard error; `debug` adds a line for each answer',
  }),
};

/** Those of `strongroom identity-agent`, in the names by which Azure's workload identity tells workloads. */
export const AGENT_SETTINGS = {
  STRONGROOM_IDENTITY_LISTEN: identityAddress,
  STRONGROOM_LOG_LEVEL: logLevel,
  AZURE_AUTHORITY_HOST: z.string().refine(isHttpsUrl, { message: 'must be an https URL' }),
  AZURE_TENANT_ID: z.string().regex(/^[0-9a-zA-Z.-]+$/, { message: 'must be a tenant' }),
  AZURE_CLIENT_ID: z.guid(),
  AZURE_FEDERATED_TOKEN_FILE: z.string().min(1),
};
