#!/usr/bin/env node
import { lookup } from 'node:dns/promises';
import { writeFile } from 'node:fs/promises';
import { availableParallelism, hostname, totalmem } from 'node:os';
import { resolve } from 'node:path';
import { Command } from 'commander';
import { addAuditCommands } from './cli/audit.ts';
import { bootstrap } from './compose/bootstrap.ts';
import {
  type Config,
  ConfigError,
  isProduction,
  readConfig,
  type Secrets,
} from './config/config.ts';
import { prepareDevelopment, type Surroundings } from './cli/development.ts';
import { deriveObjectId } from './identity/issuers/external-issuer.ts';
import { addIdentityAgent } from './cli/identity-agent.ts';
import { every } from './core/repeating.ts';
import { createLog } from './observability/log.ts';
import { readAttestation, readCertificate, readIssuers, readPin } from './config/setting-files.ts';
import { sentenceFor } from './process/operator-message.ts';
import { quoteForShell, writeClientEnvironment } from './setup/client-env.ts';
import { writeClientTrust } from './setup/trust/client-trust.ts';
import { migrate, requireCurrentSchema } from './store/migrate.ts';
import { startSupervisor, type Supervisor } from './process/supervisor.ts';

/** The process: reads the environment once, does what the command says, and ends with a status that tells. */

const PARENT_CHECK_MS = 500;

const program = new Command('strongroom')
  .description('A self-hosted Managed HSM')
  .helpCommand(false)
  .showHelpAfterError();

program
  .command('serve', { isDefault: true })
  .description('serve the REST API; sets up for development whatever the settings do not give')
  .option('--stop-with-parent', 'end when the process that started this one ends')
  .action((options: { stopWithParent?: boolean }) =>
    run(() => serve(options.stopWithParent === true)),
  );

program
  .command('migrate')
  .description('bring the schema of DATABASE_URL up to date, as a user who owns it')
  .action(() =>
    run(async () => {
      const { secrets } = readSettings();
      await migrate(required(secrets.databaseUrl, 'DATABASE_URL'));
      print('The schema is up to date.');
    }),
  );

program
  .command('bootstrap')
  .description(
    'make a pool in DATABASE_URL and PKCS11_MODULE where there is none, and an administrator',
  )
  .requiredOption(
    '--credentials <file>',
    "where to write the administrator's credentials (mode 0600)",
  )
  .action((options: { credentials: string }) => run(() => bootstrapPool(options.credentials)));

program
  .command('object-id')
  .description(
    "what role assignments call a principal of an external issuer whose objectIds are 'derived'",
  )
  .argument('<issuer>', "the tokens' iss")
  .argument('<claim>', 'the value of the claim that names the principal, or the group')
  .option('--group', 'of a group')
  .action((issuer: string, claim: string, { group }: { group?: boolean }) => {
    print(deriveObjectId(issuer, group === true ? 'group' : 'principal', claim));
  });

addAuditCommands(program, run, () => ({ ...readSettings(), setEnvironment, print }));

addIdentityAgent(program, run, {
  environment: process.env,
  stopping: () => stopSignal(false),
  print,
});

await program.parseAsync();

function readSettings(): { config: Config; secrets: Secrets } {
  // A container may have less than its machine; without a limit Node says more than any machine has, or 0.
  const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  return readConfig(process.env, { cores: availableParallelism(), memoryBytes });
}

function setEnvironment(name: string, value: string): void {
  process.env[name] = value;
}

function logger(config: Config) {
  return createLog(config.logLevel);
}

/** What the operator can mend is one sentence; anything else is a fault of ours and keeps its stack. */
async function run(action: () => Promise<void>): Promise<void> {
  try {
    await action();
  } catch (error) {
    const fault = error instanceof Error ? (error.stack ?? error.message) : String(error);
    process.stderr.write(`strongroom: ${sentenceFor(error) ?? fault}\n`);
    process.exitCode = 1;
  }
}

async function serve(stopsWithParent: boolean): Promise<void> {
  const { config, secrets } = readSettings();
  const log = logger(config);
  const stopping = stopSignal(stopsWithParent);
  // Before anything is set up: a wrong file is told at once.
  const files = { attestation: await readAttestation(config), ...(await readIssuers(config)) };
  const surroundings = isProduction(config)
    ? await givenSurroundings(config, secrets)
    : await prepareDevelopment(config, secrets, log, setEnvironment);
  try {
    const supervisor = await startSupervisor({
      workers: config.workers,
      memoryLimit: config.workerMemoryLimit,
      nodeOptions: process.env['NODE_OPTIONS'] ?? '',
      settings: {
        ...surroundings.settings,
        listen: config.listen,
        domain: config.domain,
        pool: config.pool,
        logLevel: config.logLevel,
        limits: config.limits,
        ...(config.identityListen !== undefined && { identityListen: config.identityListen }),
        ...(config.tracesUrl !== undefined && { tracesUrl: config.tracesUrl }),
        ...files,
        signingKeyDays: config.signingKeyDays,
        federatedIssuers: config.federatedIssuers,
        ...(config.sessions !== undefined && { sessions: config.sessions }),
        loadedKeys: config.loadedKeys,
      },
      environment: surroundings.environment,
      ...(config.metricsListen !== undefined && {
        metrics: {
          ...config.metricsListen,
          names: [hostname().toLowerCase(), config.domain, ...config.metricsHosts],
        },
      }),
      log,
    });
    try {
      await announce(config, surroundings, supervisor);
      await stopping;
    } finally {
      await supervisor.stop();
    }
  } finally {
    await surroundings.close();
  }
}

/** A production start: everything is given, so nothing is set up, and what is missing is said. */
async function givenSurroundings(config: Config, secrets: Secrets): Promise<Surroundings> {
  const databaseUrl = required(secrets.databaseUrl, 'DATABASE_URL');
  if (config.pkcs11 === undefined) throw new ConfigError('PKCS11_MODULE is missing.');
  await requireCurrentSchema(databaseUrl);
  return {
    settings: {
      databaseUrl,
      pkcs11: { ...config.pkcs11, pin: await readPin(secrets) },
      tls: await readCertificate(config),
    },
    environment: {},
    close: () => Promise.resolve(),
  };
}

async function announce(
  config: Config,
  { development }: Surroundings,
  supervisor: Supervisor,
): Promise<void> {
  const { port, identityPort } = supervisor;
  const suffix = port === 443 ? '' : `:${port}`;
  const host = `${config.pool}.${config.domain}`;
  const identityEndpoint =
    config.identityListen === undefined || identityPort === undefined
      ? undefined
      : `http://${hostInUrl(config.identityListen.host)}:${identityPort}/msi/token`;
  if (development !== undefined) {
    const { administrator, caFile, folder } = development;
    const trusted = resolve(caFile ?? config.tls?.certificateFile ?? '');
    const file = await writeClientEnvironment(folder.path, {
      ...administrator,
      managedHsmUrl: `https://${host}${suffix}`,
      authorityHost: `https://localhost${suffix}`,
      caFile: trusted,
      trust: await writeClientTrust(folder.path, trusted),
      ...(identityEndpoint !== undefined && { identityEndpoint }),
    });
    print(`Client settings of the first administrator: set -a; . ${quoteForShell(file)}`);
    if (!(await resolves(host)))
      print(
        `${host} does not resolve on this machine. Add this line to /etc/hosts:\n127.0.0.1 ${host}\n` +
          `Without it https://localhost${suffix} works with the client option that switches off challenge resource verification.`,
      );
  }
  if (identityEndpoint !== undefined)
    print(
      `Managed identities: IDENTITY_ENDPOINT=${identityEndpoint} IDENTITY_HEADER={appId}.{client secret}`,
    );
  const { parts, reason } = await supervisor.endStart();
  const away = Object.keys(parts).filter((name) => parts[name] === false);
  print(
    away.length === 0
      ? `Strongroom is ready: https://${host}${suffix}`
      : `Strongroom is not ready: https://${host}${suffix} answers, but these parts don't work: ${away.join(', ')}. ${reason ?? 'The log says why.'}`,
  );
}

async function bootstrapPool(credentialsFile: string): Promise<void> {
  const { config, secrets } = readSettings();
  if (config.pkcs11 === undefined) throw new ConfigError('PKCS11_MODULE is missing.');
  const databaseUrl = required(secrets.databaseUrl, 'DATABASE_URL');
  await requireCurrentSchema(databaseUrl);
  const administrator = await bootstrap(
    {
      domain: config.domain,
      pool: config.pool,
      databaseUrl,
      pkcs11: { ...config.pkcs11, pin: await readPin(secrets) },
      softDeleteDays: config.softDeleteDays,
      purgeProtection: config.purgeProtection,
      administrator: 'administrator',
    },
    logger(config),
  );
  await writeFile(credentialsFile, `${JSON.stringify(administrator, null, 2)}\n`, {
    mode: 0o600,
    flag: 'wx',
  });
  print(
    `The pool "${config.pool}" is there; the credentials of its new administrator are in ${credentialsFile}.`,
  );
}

function hostInUrl(host: string): string {
  return host.includes(':') ? `[${host}]` : host;
}

function required(value: string | undefined, name: string): string {
  if (value === undefined) throw new ConfigError(`${name} is missing.`);
  return value;
}

/** Resolves when the process is told to end, or, where asked, when its parent has ended without telling. */
function stopSignal(stopsWithParent: boolean): Promise<void> {
  return new Promise((resolve) => {
    const stop = () => {
      resolve();
    };
    process.once('SIGTERM', stop).once('SIGINT', stop);
    if (!stopsWithParent) return;
    const parent = process.ppid;
    every(
      PARENT_CHECK_MS,
      () => {
        if (process.ppid !== parent) resolve();
      },
      () => undefined,
    ).unref();
  });
}

function resolves(host: string): Promise<boolean> {
  return lookup(host).then(
    () => true,
    () => false,
  );
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
