import { availableParallelism, totalmem } from 'node:os';
import process from 'node:process';
import { type Config, readConfig, type Secrets } from '../config/config.ts';
import { every } from '../core/repeating.ts';

type Environment = Record<string, string | undefined>;

/** What a command has of the process that it runs in. */
export interface CliContext {
  readonly environment: Readonly<Environment>;
  /** @throws ConfigError that names the first wrong setting */
  readonly readSettings: () => { readonly config: Config; readonly secrets: Secrets };
  /** Sets a variable of this process, for the PKCS#11 library that it loads. */
  readonly setEnvironment: (name: string, value: string) => void;
  /** Writes a line to standard output. */
  readonly print: (line: string) => void;
  /** Writes a sentence to standard error, as a command that could not do what it was asked for. */
  readonly warn: (sentence: string) => void;
  readonly setExitStatus: (status: number) => void;
  /** Runs an action each time that the process is sent SIGHUP, which would end it otherwise. */
  readonly onHangUp: (action: () => void) => void;
  /** Resolves when the process is told to end, or, where asked, when its parent has ended without telling. */
  readonly stopSignal: (options?: { readonly stopsWithParent: boolean }) => Promise<void>;
}

/** Runs a command to its end: what a user can mend is one sentence on standard error and status 1. */
export type Run = (command: () => Promise<void>) => Promise<void>;

const PARENT_CHECK_MS = 500;

/** @param environment the process's own, which is changed by `setEnvironment` */
export function createCliContext(environment: Environment): CliContext {
  return {
    environment,
    readSettings: () => readConfig(environment, readMachine()),
    setEnvironment(name, value) {
      environment[name] = value;
    },
    print(line) {
      process.stdout.write(`${line}\n`);
    },
    warn(sentence) {
      process.stderr.write(`strongroom: ${sentence}\n`);
    },
    setExitStatus(status) {
      process.exitCode = status;
    },
    onHangUp(action) {
      process.on('SIGHUP', action);
    },
    stopSignal: ({ stopsWithParent } = { stopsWithParent: false }) =>
      new Promise((resolve) => {
        const stop = () => {
          resolve();
        };
        process.once('SIGTERM', stop).once('SIGINT', stop);
        if (stopsWithParent) whenParentEnds(stop);
      }),
  };
}

/** A container may have less than its machine; without a limit Node says more than any machine has, or 0. */
function readMachine() {
  const memoryBytes = Math.min(totalmem(), process.constrainedMemory() || Infinity);
  return { cores: availableParallelism(), memoryBytes };
}

function whenParentEnds(action: () => void): void {
  const parent = process.ppid;
  every(
    PARENT_CHECK_MS,
    () => {
      if (process.ppid !== parent) action();
    },
    () => undefined,
  ).unref();
}
