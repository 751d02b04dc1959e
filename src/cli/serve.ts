import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import type { Logger } from 'pino';
import {
  type Config,
  isProduction,
  required,
  requireNothingForgotten,
  type Secrets,
} from '../config/config.ts';
import {
  readAttestation,
  readBackupStorage,
  readCertificate,
  readIssuers,
  readPin,
  readTokens,
} from '../config/setting-files.ts';
import { withoutUndefined } from '../core/without-undefined.ts';
import { parseIssuers } from '../identity/issuers/issuers-file.ts';
import { createLog } from '../observability/log.ts';
import { sentenceFor } from '../process/error-sentence.ts';
import { createMutex } from '../process/mutex.ts';
import { startSupervisor, type Supervisor } from '../process/supervisor.ts';
import type { WorkerSettings } from '../process/worker-protocol.ts';
import { requireOwnSessions } from '../store/feed-connection.ts';
import { requireCurrentSchema } from '../store/migrate.ts';
import type { CliContext } from './cli-context.ts';
import type { Surroundings } from './development.ts';
import { printStart } from './start-report.ts';
import { readVersion } from './version.ts';

export interface ServeOptions {
  readonly stopsWithParent: boolean;
  /** Whatever the settings don't give is set up, however much they give. */
  readonly isDevelopment: boolean;
}

/** `strongroom serve`: until the process is told to end. */
export async function serve(context: CliContext, options: ServeOptions): Promise<void> {
  const { config, secrets } = context.readSettings();
  if (!options.isDevelopment) requireNothingForgotten(config);
  const log = createLog(config.logLevel);
  const stopping = context.stopSignal(options);
  // Before anything is set up: a wrong file is told at once.
  const files = await readFiles(config);
  const replica = identify(config);
  const surroundings = isProduction(config)
    ? await givenSurroundings(config, secrets, log)
    : await developmentSurroundings(config, secrets, log, context);
  try {
    const supervisor = await startSupervisor({
      workers: config.workers,
      memoryLimit: config.workerMemoryLimit,
      nodeOptions: context.environment['NODE_OPTIONS'] ?? '',
      settings: { ...config, ...files, ...surroundings.settings, replica },
      environment: surroundings.environment,
      ...(config.metricsListen !== undefined && {
        metrics: {
          ...config.metricsListen,
          names: [hostname().toLowerCase(), config.domain, ...config.metricsHosts],
        },
      }),
      log,
    });
    if (isProduction(config))
      reloadOnHangUp(context, config, secrets, { supervisor, replica }, log);
    try {
      await printStart(context.print, config, surroundings, supervisor);
      await Promise.race([stopping, supervisor.failure]);
    } finally {
      await supervisor.stop();
    }
  } finally {
    await surroundings.close();
  }
}

interface Running {
  readonly supervisor: Supervisor;
  readonly replica: WorkerSettings['replica'];
}

/** By which the processes of this start are told from those of others. */
function identify({ replicaName }: Config): Running['replica'] {
  return { id: randomUUID(), name: replicaName ?? hostname(), ...readVersion() };
}

async function readFiles(config: Config) {
  return {
    attestation: await readAttestation(config),
    backupStorage: await readBackupStorage(config),
    tokens: await readTokens(config),
    ...(await readIssuers(config, parseIssuers)),
  };
}

/**
 * SIGHUP: the files that settings name are read again, and fresh worker processes go by them and load the PKCS#11 module
 * anew. The settings themselves are the environment's, and stay. Where a file is wrong or the first worker doesn't start, all stays.
 */
function reloadOnHangUp(
  context: CliContext,
  config: Config,
  secrets: Secrets,
  { supervisor, replica }: Running,
  log: Logger,
): void {
  const oneReload = createMutex();
  const reload = async () => {
    const files = await readFiles(config);
    const { settings } = await givenSurroundings(config, secrets, log);
    if (await supervisor.reload({ ...config, ...files, ...settings, replica }))
      log.info('SIGHUP: the worker processes go by the files as they are now');
  };
  context.onHangUp(() => {
    oneReload(reload).catch((error: unknown) => {
      log.error(
        { err: error },
        `SIGHUP: nothing is changed: ${sentenceFor(error) ?? 'see the error'}`,
      );
    });
  });
}

/** A production start: everything is given, so nothing is set up, and what is missing is said. */
async function givenSurroundings(
  config: Config,
  secrets: Secrets,
  log: Logger,
): Promise<Surroundings> {
  const databaseUrl = required(secrets.databaseUrl, 'DATABASE_URL');
  const pkcs11 = required(config.pkcs11, 'PKCS11_MODULE');
  const { newer } = await requireCurrentSchema(databaseUrl);
  await requireOwnSessions(databaseUrl);
  if (newer.length > 0)
    log.warn({ newer }, 'a newer version has added to the schema: this one serves on');
  return {
    settings: {
      databaseUrl,
      ...withoutUndefined({ auditDatabaseUrl: secrets.auditDatabaseUrl }),
      pkcs11: { ...pkcs11, pin: await readPin(secrets) },
      tls: await readCertificate(config),
    },
    environment: {},
    close: () => Promise.resolve(),
  };
}

/** A development start: what makes the rest is loaded by it alone. */
async function developmentSurroundings(
  config: Config,
  secrets: Secrets,
  log: Logger,
  context: CliContext,
): Promise<Surroundings> {
  const { prepareDevelopment } = await import('./development.ts');
  return prepareDevelopment(config, secrets, log, context.setEnvironment);
}
