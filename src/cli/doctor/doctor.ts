import { realpath } from 'node:fs/promises';
import { examineObjects } from '../../compose/object-diagnosis.ts';
import { examineRootKeys, findKeeping } from '../../compose/root-key-diagnosis.ts';
import { examineReplicas } from '../../compose/replica-diagnosis.ts';
import type { ServiceSettings } from '../../compose/service/settings.ts';
import { examineCertificate } from '../../config/certificate-diagnosis.ts';
import { type Config, isProduction, type Secrets } from '../../config/config.ts';
import { readCertificate, readPin, readPinFile } from '../../config/setting-files.ts';
import { type Finding, findings, ok } from '../../core/diagnosis/finding.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { examineModule, type ModuleDiagnosis } from '../../hsm/diagnosis/module-diagnosis.ts';
import { createLog } from '../../observability/log.ts';
import { findRunningPostgres } from '../../setup/postgres/embedded-postgres.ts';
import { findSoftHsmToken } from '../../setup/softhsm/token.ts';
import { examineDatabase } from '../../store/diagnosis/database-diagnosis.ts';
import { examineAuditStandby } from '../../store/diagnosis/standby-diagnosis.ts';
import type { CliContext } from '../cli-context.ts';
import { examineMachine, examineNames } from './machine-diagnosis.ts';
import { describe, exitStatusOf, type Section } from './report.ts';

export interface DoctorOptions {
  readonly module?: string;
  readonly tokenLabel?: string;
  readonly pinFile?: string;
  readonly libraryParameters?: string;
  readonly keyWrapMechanism?: number;
  readonly json?: true;
  readonly mend?: true;
}

/**
 * `strongroom doctor`: examines what the settings name, or one PKCS#11 module alone. Changes nothing. Exit status 0 where
 * all is well, 1 with warnings, 2 with faults.
 */
export async function doctor(context: CliContext, options: DoctorOptions): Promise<void> {
  const { module } = options;
  requireFitting(options);
  const { sections, diagnosis } =
    module === undefined
      ? await examineDeployment(context, options.mend === true)
      : await examineOne({ ...options, module });
  if (options.json === true)
    context.print(
      JSON.stringify(
        {
          sections,
          ...withoutUndefined({
            capabilities: diagnosis?.capabilities,
            callTimesUs: diagnosis?.callTimes,
          }),
        },
        null,
        2,
      ),
    );
  else for (const line of describe(sections)) context.print(line);
  context.setExitStatus(exitStatusOf(sections));
}

/** @throws OperatorError where an option would have no effect */
function requireFitting({ module, mend, ...options }: DoctorOptions): void {
  if (module !== undefined && mend === true)
    throw new OperatorError(
      '--mend is for a pool that the settings name, and --module examines a module alone: give one of them.',
    );
  const isOfModule = Object.keys(options).some((name) => name !== 'json');
  if (module === undefined && isOfModule)
    throw new OperatorError(
      '--token-label, --pin-file, --library-parameters and --key-wrap-mechanism are for a module that --module names. Without it the settings say what is examined.',
    );
}

/** What settings and options that say the same are called. */
const OPTION_FOR: readonly (readonly [string | RegExp, string])[] = [
  [' or PKCS11_TOKEN_LABEL', ''],
  [/PKCS11_PIN or PKCS11_PIN_FILE[^)]*/g, '--pin-file'],
  ['PKCS11_MODULE', '--module'],
  ['PKCS11_TOKEN_LABEL', '--token-label'],
  ['PKCS11_LIBRARY_PARAMETERS', '--library-parameters'],
  ['PKCS11_KEY_WRAP_MECHANISM', '--key-wrap-mechanism'],
];

function inOptions(finding: Finding): Finding {
  const sentence = OPTION_FOR.reduce(
    (text, [setting, option]) => text.replaceAll(setting, option),
    finding.sentence,
  );
  return { ...finding, sentence };
}

interface Examined {
  readonly sections: readonly Section[];
  readonly diagnosis: ModuleDiagnosis | undefined;
}

async function examineOne({
  module,
  pinFile,
  tokenLabel,
  ...more
}: DoctorOptions & { readonly module: string }): Promise<Examined> {
  let diagnosis: ModuleDiagnosis | undefined;
  const found = await findings('module', async () => {
    const pin = await readPinFile('--pin-file', pinFile);
    const { libraryParameters, keyWrapMechanism } = more;
    diagnosis = examineModule({
      module,
      pin,
      isForNewPool: true,
      ...withoutUndefined({ tokenLabel, libraryParameters, keyWrapMechanism }),
    });
    return diagnosis.findings;
  });
  return { sections: [{ title: 'HSM', findings: found.map(inOptions) }], diagnosis };
}

async function examineDeployment(context: CliContext, mends: boolean): Promise<Examined> {
  const { config, secrets } = context.readSettings();
  const host = `${config.pool}.${config.domain}`;
  let diagnosis: ModuleDiagnosis | undefined;
  let pkcs11: ServiceSettings['pkcs11'] | undefined;
  const databaseUrl = await databaseUrlOf(config, secrets);
  const module = await findings('module', async () => {
    pkcs11 = await examinedModule(config, secrets, context);
    if (pkcs11 === undefined)
      return [ok('module', 'SoftHSM2 is made in the data folder by the first start.')];
    const known =
      databaseUrl === undefined ? undefined : await findKeeping(databaseUrl, config.pool);
    diagnosis = examineModule({ ...pkcs11, keeping: known ?? config.keeping });
    return diagnosis.findings;
  });
  const database = await findings('connection', () =>
    databaseUrl === undefined
      ? [ok('connection', "PostgreSQL is the data folder's own, and runs while the service does.")]
      : examineDatabase(databaseUrl),
  );
  const isOpen =
    diagnosis?.capabilities !== undefined &&
    !database.some(({ severity, subject }) => severity === 'fault' && subject === 'connection');
  const settings =
    isOpen && databaseUrl !== undefined && pkcs11 !== undefined
      ? {
          ...{ databaseUrl, pool: config.pool, pkcs11 },
          ...withoutUndefined({ tried: diagnosis?.tried }),
        }
      : undefined;
  const sections: Section[] = [
    { title: 'HSM', findings: module },
    { title: 'Database', findings: database },
    ...(databaseUrl === undefined || secrets.auditDatabaseUrl === undefined
      ? []
      : [
          {
            title: 'Audit standby',
            findings: await examineAuditStandby(secrets.auditDatabaseUrl, databaseUrl),
          },
        ]),
    {
      title: 'Root keys',
      findings:
        settings !== undefined
          ? await examineRootKeys(settings, createLog('silent'))
          : [
              ok(
                'root keys',
                'They are looked at where both the HSM and the database can be opened.',
              ),
            ],
    },
    ...(settings === undefined
      ? []
      : [
          ...(await objectSection(settings, mends)),
          { title: 'Replicas', findings: await examineReplicas(settings) },
        ]),
    { title: 'Certificate', findings: await examineTls(config, host) },
    { title: 'Names', findings: await examineNames(host) },
    { title: 'Machine', findings: await examineMachine(config) },
  ];
  return { sections, diagnosis };
}

/** Of a resident pool; no section of a sealed one. */
async function objectSection(
  settings: Parameters<typeof examineObjects>[0],
  mends: boolean,
): Promise<readonly Section[]> {
  const found = await examineObjects(settings, createLog('silent'), mends);
  return found.length === 0 ? [] : [{ title: 'Objects', findings: found }];
}

async function examinedModule(
  config: Config,
  secrets: Secrets,
  { setEnvironment }: CliContext,
): Promise<ServiceSettings['pkcs11'] | undefined> {
  if (config.pkcs11 !== undefined) return { ...config.pkcs11, pin: await readPin(secrets) };
  const token = await findSoftHsmToken(await folderOf(config));
  if (token === undefined) return undefined;
  setEnvironment('SOFTHSM2_CONF', token.configFile);
  return token;
}

async function databaseUrlOf(config: Config, secrets: Secrets): Promise<string | undefined> {
  if (secrets.databaseUrl !== undefined || isProduction(config)) return secrets.databaseUrl;
  return findRunningPostgres(await folderOf(config)).then(
    ({ serviceUrl }) => serviceUrl,
    () => undefined,
  );
}

function folderOf({ dataFolder }: Config): Promise<string> {
  return realpath(dataFolder).catch(() => dataFolder);
}

async function examineTls(config: Config, host: string): Promise<readonly Finding[]> {
  if (config.tls === undefined)
    return [ok('certificate', 'It is made in the data folder, by a certificate authority there.')];
  return findings('certificate', async () =>
    examineCertificate(await readCertificate(config), host, new Date()),
  );
}
