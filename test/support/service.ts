import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { removeCluster } from './cluster.ts';
import { KEEPING_SETTINGS } from './keeping.ts';

const MAIN = fileURLToPath(new URL('../../dist/main.js', import.meta.url));
/** Loaded into each of its processes. */
const NO_HSM_IN_TRANSACTION = new URL('./no-hsm-in-transaction.mjs', import.meta.url).href;
const READY = /^Strongroom is (?:not )?ready: (?<url>https:\/\/\S+)/;
const START_LIMIT_MS = 60_000;

/** The whole service as a user starts it, in a data folder of its own on a free port. */
export interface RunningService {
  readonly dataFolder: string;
  /** https://main.strongroom.localhost:port */
  readonly url: string;
  /** https://localhost:port, which resolves everywhere. */
  readonly localUrl: string;
  readonly port: number;
  /** The contents of client.env. */
  readonly client: Readonly<Record<string, string>>;
  /** PEM of the development CA. */
  readonly ca: string;
  /** All that it has printed. */
  output(): string;
  readonly process: ChildProcess;
  /** SIGTERM; resolves with the exit status. Rejects where the HSM was asked inside a transaction. */
  stop(): Promise<number | null>;
  /** SIGKILL of the service and its worker processes: nothing gets to tidy up. */
  kill(): Promise<void>;
}

export async function makeDataFolder(): Promise<string> {
  return mkdtemp(join(tmpdir(), 'strongroom-test-'));
}

/** Removes a data folder, and the cluster that it may have elsewhere (PostgreSQL can't run as root). */
export async function removeDataFolder(folder: string): Promise<void> {
  await removeCluster(folder);
  await rm(folder, { recursive: true, force: true });
}

export interface StartOptions {
  /** The authority of the server's certificate, where that isn't the data folder's own: there is no client.env either. */
  readonly caFile?: string;
  /** Of its process; worker processes inherit them. */
  readonly nodeOptions?: readonly string[];
  /** How many files each of its processes may have open, where that is to be few. */
  readonly openFiles?: number;
  /** The network namespace that it is in. */
  readonly namespace?: string;
  /** Of another version: its `dist/main.js`. */
  readonly main?: string;
  /** Without the check that no transaction waits for the HSM, which costs each request some 70 us. */
  readonly isMeasured?: boolean;
}

/** Starts `strongroom serve`; rejects with what it printed when it ends before it is ready. */
export async function startService(
  dataFolder: string,
  environment: Readonly<Record<string, string>> = {},
  {
    caFile,
    nodeOptions = [],
    openFiles,
    namespace,
    main = MAIN,
    isMeasured = false,
  }: StartOptions = {},
): Promise<RunningService> {
  const options = [...(isMeasured ? [] : ['--import', NO_HSM_IN_TRANSACTION]), ...nodeOptions];
  const node = [process.execPath, ...options, main, 'serve', '--stop-with-parent'];
  const limited = ['sh', '-c', `ulimit -n ${openFiles ?? ''}; exec "$0" "$@"`, ...node];
  const there = ['ip', 'netns', 'exec', namespace ?? '', ...node];
  const [command = '', ...words] =
    namespace !== undefined ? there : openFiles === undefined ? node : limited;
  const child = spawn(command, words, {
    env: {
      PATH: process.env['PATH'],
      HOME: process.env['HOME'],
      STRONGROOM_DATA_DIR: dataFolder,
      STRONGROOM_LISTEN: '127.0.0.1:0',
      STRONGROOM_WORKERS: '2',
      STRONGROOM_METRICS_LISTEN: '',
      STRONGROOM_IDENTITY_LISTEN: '',
      ...KEEPING_SETTINGS,
      ...environment,
    },
    stdio: ['ignore', 'pipe', 'pipe'],
    // A process group of its own, so that kill() reaches the workers too.
    detached: true,
  });
  let output = '';
  child.stderr.setEncoding('utf8').on('data', (text: string) => (output += text));
  const url = await new Promise<string>((resolve, reject) => {
    const limit = setTimeout(() => {
      child.kill('SIGKILL');
      reject(new Error(`not ready within ${START_LIMIT_MS} ms\n${output}`));
    }, START_LIMIT_MS);
    child.once('exit', (status) => {
      clearTimeout(limit);
      reject(new Error(`ended with status ${String(status)} before it was ready\n${output}`));
    });
    createInterface(child.stdout).on('line', (line) => {
      output += `${line}\n`;
      const ready = READY.exec(line)?.groups?.['url'];
      if (ready === undefined) return;
      clearTimeout(limit);
      resolve(ready);
    });
  });
  const port = Number(new URL(url).port);
  return {
    dataFolder,
    url,
    localUrl: `https://localhost:${port}`,
    port,
    client:
      caFile === undefined
        ? parseEnvironment(await readFile(join(dataFolder, 'client.env'), 'utf8'))
        : {},
    ca: await readFile(caFile ?? join(dataFolder, 'ca.pem'), 'utf8'),
    output: () => output,
    process: child,
    async stop() {
      if (child.exitCode !== null) return child.exitCode;
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      const [status] = (await exit) as [number | null];
      if (output.includes('the HSM was asked inside a database transaction'))
        throw new Error(output);
      return status;
    },
    async kill() {
      const exit = once(child, 'exit');
      process.kill(-(child.pid ?? 0), 'SIGKILL');
      await exit;
    },
  };
}

/** KEY='value' lines, quoted as a shell reads them. */
function parseEnvironment(text: string): Record<string, string> {
  const entries = [...text.matchAll(/^(?<name>[A-Z_0-9]+)=(?<value>.*)$/gm)].map((line) => {
    const value = line.groups?.['value'] ?? '';
    return [line.groups?.['name'] ?? '', value.replace(/^'(.*)'$/, '$1').replaceAll("'\\''", "'")];
  });
  return Object.fromEntries(entries) as Record<string, string>;
}
