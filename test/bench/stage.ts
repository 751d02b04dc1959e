import { prepareDevelopmentCertificate } from '../../src/setup/trust/development-ca.ts';
import { prepareSoftHsmToken } from '../../src/setup/softhsm/token.ts';
import { fetchToken } from '../support/client.ts';
import { postmasterOf } from '../support/cluster.ts';
import { addSecret, assignRole, makeClient, signInAdministrator } from '../support/directory.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';
import type { Cleanup } from './cleanup.ts';
import { processTree } from './cpu-time.ts';
import { type HelperProcess, startHelper } from './helper-process.ts';
import { processCount } from './process-count.ts';
import { ROLE } from '../support/roles.ts';

/** What is compared, and what loads it: all on this machine, in processes of their own. */

/** A listener under load, and whose CPU is counted. */
export interface Target {
  readonly port: number;
  pids(): readonly number[];
  /** Of the PostgreSQL behind it. */
  postgresPids(): readonly number[];
}

export interface BenchService extends Target {
  readonly service: RunningService;
  readonly admin: Awaited<ReturnType<typeof signInAdministrator>>;
  /** A token of a new principal, from the directory's token endpoint. */
  newPrincipal(): Promise<{ readonly id: string; readonly token: string }>;
}

/** What limits callers is not what is measured. */
const NO_LIMITS = {
  STRONGROOM_LIMIT_PER_PRINCIPAL: '1000000',
  STRONGROOM_LIMIT_PER_ADDRESS: '1000000',
};

/** The service as a newcomer starts it: embedded PostgreSQL, SoftHSM2, a data folder of its own that is removed. */
export async function openService(
  cleanup: Cleanup,
  nodeOptions: readonly string[] = [],
  settings: Readonly<Record<string, string>> = {},
): Promise<BenchService> {
  const folder = await makeDataFolder();
  cleanup.add(() => removeDataFolder(folder));
  const environment = { STRONGROOM_WORKERS: String(processCount()), ...NO_LIMITS, ...settings };
  const service = await startService(folder, environment, {
    nodeOptions,
    isMeasured: true,
  });
  cleanup.add(() => service.stop());
  const admin = await signInAdministrator(service);
  cleanup.add(() => {
    admin.close();
  });
  const postmaster = await postmasterOf(folder);
  return {
    service,
    admin,
    port: service.port,
    pids: () => processTree(service.process.pid ?? NaN, postmaster),
    postgresPids: () => processTree(postmaster),
    async newPrincipal() {
      const client = await makeClient(admin, 'a caller of the bench');
      for (const role of [ROLE.officer, ROLE.user])
        await assignRole(admin, role, client.principalId);
      const clientSecret = await addSecret(admin, client);
      const token = await fetchToken(service, { clientId: client.appId, clientSecret });
      return { id: client.principalId, token };
    },
  };
}

export interface Bare extends Target {
  /** What it answers from now on, whatever it is asked. */
  answerWith(body: unknown): Promise<void>;
}

/** With the certificate of a service's data folder. */
export async function openBare(cleanup: Cleanup, folder: string): Promise<Bare> {
  const { certificate, privateKey } = await prepareDevelopmentCertificate(folder, {
    domain: 'strongroom.localhost',
  });
  const helper = startHelper('bare.ts');
  cleanup.add(() => {
    helper.stop();
  });
  const tls = { certificate, privateKey };
  const port = await helper.ask<number>('start', { tls, processes: processCount() });
  return {
    port,
    pids: () => processTree(helper.pid),
    postgresPids: () => [],
    answerWith: (body) => helper.ask('answerWith', body),
  };
}

export interface Raw {
  run(name: string, ms: number): Promise<{ perSecond: number; cpuUs: number }>;
}

/** On the token of a service's data folder. */
export async function openRaw(cleanup: Cleanup, folder: string): Promise<Raw> {
  const { configFile, ...token } = await prepareSoftHsmToken(folder);
  const helpers = Array.from({ length: processCount() }, () =>
    startHelper('raw.ts', { SOFTHSM2_CONF: configFile }),
  );
  cleanup.add(() => {
    for (const helper of helpers) helper.stop();
  });
  // One after the other: SoftHSM fails (CKR_GENERAL_ERROR) where one process logs in while another opens the token.
  for (const helper of helpers) await helper.ask('open', token);
  return {
    async run(name, ms) {
      const runs = await Promise.all(
        helpers.map((helper) =>
          helper.ask<{ done: number; ms: number; cpuUs: number }>('run', { name, ms }),
        ),
      );
      const sum = (read: (run: (typeof runs)[number]) => number) =>
        runs.reduce((total, run) => total + read(run), 0);
      return {
        perSecond: sum((run) => (run.done * 1000) / run.ms),
        cpuUs: sum(({ cpuUs }) => cpuUs) / sum(({ done }) => done),
      };
    },
  };
}

/** Load generators: one process for each two of the service, since one of theirs costs less than one of its. */
export function openGenerators(cleanup: Cleanup): readonly HelperProcess[] {
  const helpers = Array.from({ length: Math.max(1, Math.floor(processCount() / 2)) }, () =>
    startHelper('load.ts'),
  );
  cleanup.add(() => {
    for (const helper of helpers) helper.stop();
  });
  return helpers;
}
