import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { findSoftHsmLibrary } from '../../src/setup/softhsm/library.ts';
import { initialiseToken, writeConfiguration } from '../../src/setup/softhsm/token.ts';
import { compileShim } from '../support/module-shim.ts';
import type { Cleanup } from './cleanup.ts';
import { median } from './figures.ts';
import { startHelper } from './helper-process.ts';
import { learn, loadRound, warmUp } from './measuring.ts';
import { callerOf, makeKeys, OPERATIONS } from './operations.ts';
import { openGenerators, openService } from './stage.ts';

/**
 * An HSM that is waited for: each call takes its time, and several go on at once. The service signs by RS256 in so many
 * processes with so many threads each, and takes turns with as many threads that do nothing but sign.
 */
const PROCESSES = 2;
const THREADS = 4;
const CONNECTIONS = 32;
const ROUNDS = 5;
const WARM_UP = { requests: 2_000, mostMs: 8_000 };
const ROUND = { rampMs: 500, windowMs: 4_000 };
const RAW_MS = 4_000;
const OPERATION = 'RSA-2048 RS256 sign';

export interface ThreadFigures {
  /** Microseconds that each call takes besides. */
  readonly callUs: number;
  /** A second. */
  readonly service: number;
  readonly alone: number;
  /** service / alone, of the rounds one by one. */
  readonly ratio: number;
  readonly ratioSpread: readonly [number, number];
}

/** @param callUs what each call of the HSM takes besides its work */
export async function measureThreads(cleanup: Cleanup, callUs: number): Promise<ThreadFigures> {
  const { token, environment } = await openSlowToken(cleanup, callUs);
  const service = await openService(cleanup, [], {
    ...environment,
    PKCS11_MODULE: token.module,
    PKCS11_TOKEN_LABEL: token.tokenLabel,
    PKCS11_PIN: token.pin,
    STRONGROOM_WORKERS: String(PROCESSES),
    STRONGROOM_SESSIONS: String(THREADS),
  });
  const call = callerOf(service.admin);
  const keys = await makeKeys(call);
  const { token: bearer } = await service.newPrincipal();
  const operation = OPERATIONS.find(({ name }) => name === OPERATION);
  if (operation === undefined) throw new Error(`there is no ${OPERATION}`);
  const generators = openGenerators(cleanup);
  await learn(generators, OPERATION, {
    port: service.port,
    requests: [await operation.request(keys, call)],
    pick: 'uniform',
    tokens: [bearer],
  });
  const helpers = Array.from({ length: PROCESSES }, () =>
    startHelper('raw-threads.ts', environment),
  );
  cleanup.add(() => {
    for (const helper of helpers) helper.stop();
  });
  for (const helper of helpers) await helper.ask('open', { token, count: THREADS });

  await warmUp(generators, service, OPERATION, WARM_UP, CONNECTIONS);
  const rounds: { readonly service: number; readonly alone: number }[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const { perSecond } = await loadRound(generators, service, OPERATION, ROUND, CONNECTIONS);
    const alone = await Promise.all(helpers.map((helper) => helper.ask<number>('run', RAW_MS)));
    rounds.push({ service: perSecond, alone: alone.reduce((sum, one) => sum + one, 0) });
  }
  const ratios = rounds.map((round) => round.service / round.alone);
  return {
    callUs,
    service: median(rounds.map((round) => round.service)),
    alone: median(rounds.map((round) => round.alone)),
    ratio: median(ratios),
    ratioSpread: [Math.min(...ratios), Math.max(...ratios)],
  };
}

/** A token of SoftHSM2 behind the shim. */
async function openSlowToken(cleanup: Cleanup, callUs: number) {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-bench-'));
  cleanup.add(() => rm(folder, { recursive: true, force: true }));
  const [configFile, tokens] = [join(folder, 'softhsm2.conf'), join(folder, 'tokens')];
  const [module, plan] = [join(folder, 'shim.so'), join(folder, 'plan')];
  const softHsm = findSoftHsmLibrary();
  const token = { tokenLabel: 'bench', pin: 'the bench owns this token' };
  await mkdir(tokens);
  await writeConfiguration(configFile, tokens);
  await initialiseToken({ ...token, module: softHsm, configFile });
  await compileShim(module);
  const calls =
    'SignInit,Sign,VerifyInit,Verify,EncryptInit,Encrypt,WrapKey,UnwrapKey,GenerateRandom';
  await writeFile(plan, `module ${softHsm}\nlatency ${String(callUs)} 0 ${calls}\n`);
  return {
    token: { ...token, module },
    environment: { MODULE_SHIM_PLAN: plan, SOFTHSM2_CONF: configFile },
  };
}
