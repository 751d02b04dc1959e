import { describe, expect, test } from '@jest/globals';
import { type Config, readConfig } from '../../src/config/config.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { documentAt, sourcesBelow } from '../documents/documents.ts';

const MACHINE = { cores: 2, memoryBytes: 4 * 1024 ** 3 };

/** A row of the table of settings: name, default, meaning. */
function rowOf([name, schema]: [string, (typeof SETTINGS)[keyof typeof SETTINGS]]): string[] {
  const { default: shown, meaning } = schema.meta() ?? {};
  return [`\`${name}\``, shown ?? `\`${String(schema.parse(undefined))}\``, meaning ?? ''];
}
const rows = Object.entries(SETTINGS).map(rowOf);

describe('the table in src/config/README.md', () => {
  // Where this fails, the difference holds the rows that belong there.
  test('is what the schema says', () => {
    expect(documentAt('src/config/README.md').rows).toEqual(rows);
  });

  test('has a default and a meaning for each setting', () => {
    expect(rows.filter(([, shown, meaning]) => shown === '`undefined`' || meaning === '')).toEqual(
      [],
    );
  });
});

/** A value of each setting that is not its default. */
const OTHER: Readonly<Record<keyof typeof SETTINGS, string>> = {
  STRONGROOM_DATA_DIR: '/data',
  STRONGROOM_LISTEN: '0.0.0.0:1',
  STRONGROOM_METRICS_LISTEN: '127.0.0.1:2',
  STRONGROOM_METRICS_HOSTS: 'metrics.example',
  STRONGROOM_IDENTITY_LISTEN: '127.0.0.1:3',
  STRONGROOM_DOMAIN: 'hsm.example',
  STRONGROOM_POOL: 'other',
  STRONGROOM_TLS_CERT_FILE: '/cert.pem',
  STRONGROOM_TLS_KEY_FILE: '/key.pem',
  DATABASE_URL: 'postgres://db',
  STRONGROOM_AUDIT_DATABASE_URL: 'postgres://standby',
  PKCS11_MODULE: '/module.so',
  PKCS11_TOKEN_LABEL: 'label',
  PKCS11_PIN: '1234',
  PKCS11_PIN_FILE: '/pin',
  PKCS11_LIBRARY_PARAMETERS: "configdir='/nss'",
  PKCS11_KEY_WRAP_MECHANISM: '0x210B',
  PKCS11_OBJECT_LIMIT: '256',
  STRONGROOM_SESSIONS: '3',
  STRONGROOM_LOADED_KEYS: '17',
  STRONGROOM_REPLICA: 'east-1',
  STRONGROOM_WORKERS: '5',
  STRONGROOM_WORKER_MEMORY_LIMIT_MB: '777',
  STRONGROOM_KEYS: 'resident',
  STRONGROOM_SOFT_DELETE_DAYS: '8',
  STRONGROOM_PURGE_PROTECTION: 'true',
  STRONGROOM_ATTESTATION_AUTHORITIES: 'https://attest.example',
  STRONGROOM_ATTESTATION_CA_FILE: '/attestation-ca.pem',
  STRONGROOM_TOKENS_FILE: '/tokens.json',
  STRONGROOM_POOLS_OPEN: 'use',
  STRONGROOM_ISSUERS_FILE: '/issuers.json',
  STRONGROOM_ISSUERS_CA_FILE: '/issuers-ca.pem',
  STRONGROOM_FEDERATED_ISSUERS: 'https://cluster.example',
  STRONGROOM_SIGNING_KEY_DAYS: '31',
  STRONGROOM_LIMIT_PER_PRINCIPAL: '11',
  STRONGROOM_LIMIT_PER_ADDRESS: '12',
  STRONGROOM_LIMIT_REFUSED_CREDENTIALS: '13',
  STRONGROOM_BACKUP_AUDIT_RECORDS: 'true',
  STRONGROOM_BACKUP_HOSTS: 'backups.blob.example,http://azurite.localhost:10000',
  STRONGROOM_BACKUP_CA_FILE: '/backup-ca.pem',
  STRONGROOM_BACKUP_SAS_FILE: '/sas',
  STRONGROOM_BACKUP_SAS_CONTAINER: 'https://backups.blob.example/other',
  STRONGROOM_BACKUP_S3_ENDPOINT: 'https://s3.other.example',
  STRONGROOM_BACKUP_S3_REGION: 'eu-central-1',
  STRONGROOM_BACKUP_S3_BUCKET: 'other',
  STRONGROOM_BACKUP_S3_CREDENTIALS_FILE: '/other-credentials',
  OTEL_EXPORTER_OTLP_ENDPOINT: 'http://traces.example',
  OTEL_EXPORTER_OTLP_TRACES_ENDPOINT: 'http://traces.example/own',
  STRONGROOM_LOG_LEVEL: 'debug',
};
const S3 = {
  STRONGROOM_BACKUP_S3_ENDPOINT: 'https://s3.example',
  STRONGROOM_BACKUP_S3_BUCKET: 'backups',
  STRONGROOM_BACKUP_S3_CREDENTIALS_FILE: '/credentials',
};
const SAS = {
  STRONGROOM_BACKUP_SAS_FILE: '/token',
  STRONGROOM_BACKUP_SAS_CONTAINER: 'https://backups.blob.example/pools',
};
const HSM = { PKCS11_MODULE: '/m.so', PKCS11_TOKEN_LABEL: 'label', PKCS11_PIN: '1' };
/** What a setting is refused without. */
const WITH: Readonly<Record<string, Record<string, string>>> = {
  STRONGROOM_TLS_CERT_FILE: { STRONGROOM_TLS_CERT_FILE: '/a', STRONGROOM_TLS_KEY_FILE: '/b' },
  STRONGROOM_TLS_KEY_FILE: { STRONGROOM_TLS_CERT_FILE: '/a', STRONGROOM_TLS_KEY_FILE: '/b' },
  PKCS11_MODULE: { PKCS11_MODULE: '/other.so', PKCS11_TOKEN_LABEL: 'other', PKCS11_PIN: '1' },
  PKCS11_TOKEN_LABEL: { PKCS11_MODULE: '/m.so', PKCS11_TOKEN_LABEL: 'other', PKCS11_PIN: '1' },
  PKCS11_LIBRARY_PARAMETERS: HSM,
  PKCS11_KEY_WRAP_MECHANISM: HSM,
  PKCS11_OBJECT_LIMIT: HSM,
  STRONGROOM_BACKUP_SAS_FILE: SAS,
  STRONGROOM_BACKUP_SAS_CONTAINER: SAS,
  STRONGROOM_BACKUP_S3_ENDPOINT: S3,
  STRONGROOM_BACKUP_S3_REGION: S3,
  STRONGROOM_BACKUP_S3_BUCKET: S3,
  STRONGROOM_BACKUP_S3_CREDENTIALS_FILE: S3,
};
const NAMES = Object.keys(OTHER) as (keyof typeof OTHER)[];

describe('no setting is without an effect', () => {
  test.each(NAMES)('%s changes what is read', (name) => {
    const read = (value?: string) =>
      readConfig({ ...WITH[name], ...(value !== undefined && { [name]: value }) }, MACHINE);
    expect(read(OTHER[name])).not.toEqual(read());
  });

  /** Each property that the settings become is read somewhere outside src/config, or decides there what the start does. */
  const program = ['src/cli', 'src/process', 'src/compose']
    .flatMap((folder) => sourcesBelow(folder, '.ts'))
    .join('\n');
  const { config } = readConfig({ ...OTHER, PKCS11_PIN_FILE: '' }, MACHINE);
  const READ_IN_CONFIG = ['attestation', 'backups', 'hasDatabaseUrl', 'tokensFile'];
  test.each(Object.keys(config) as (keyof Config)[])('%s is read', (property) => {
    const isRead = new RegExp(
      `\\b(?:config|settings)\\.${property}\\b|\\{[^{}]*\\b${property}\\b[^{}]*\\}(?: = settings|: Base|: Config|: HsmSettings|: Pick)`,
    ).test(program);
    expect(isRead || READ_IN_CONFIG.includes(property)).toBe(true);
  });
});
