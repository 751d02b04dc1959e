import { fork } from 'node:child_process';
import { once } from 'node:events';
import type { Readable } from 'node:stream';
import { fileURLToPath } from 'node:url';

const HOST = fileURLToPath(new URL('./command-host.mjs', import.meta.url));
/** With a character that no command prints. */
const END = '\u0004ended with ';
const LAST = new RegExp(`${END}(?<status>\\d+)\n`);

export interface EndedCommand {
  readonly status: number;
  /** What it has printed: to standard output, then to standard error. */
  readonly words: string;
}

export interface CommandHost {
  /** Runs `strongroom` with these words, after the one before; resolves once nothing of it is left that a process would wait for. */
  readonly run: (
    words: readonly string[],
    environment: Readonly<Record<string, string>>,
  ) => Promise<EndedCommand>;
  close(): Promise<void>;
}

/**
 * A process that runs one command of `strongroom` after the other. A process for each would load the same modules each time, which
 * takes it half a second of a core.
 */
export async function openCommandHost(): Promise<CommandHost> {
  const host = fork(HOST, { stdio: ['ignore', 'pipe', 'pipe', 'ipc'], env: {} });
  const exit = once(host, 'exit');
  const ends = exit.then(([status]) => {
    throw new Error(`the process of the commands ended with ${String(status)}`);
  });
  ends.catch(() => undefined);
  await Promise.race([once(host, 'message'), ends]);
  const readers = [host.stdout, host.stderr].map(readerOf);
  return {
    async run(words, environment) {
      host.send({ words, environment, end: END });
      const ended = await Promise.race([Promise.all(readers.map((read) => read())), ends]);
      return {
        status: ended[0]?.status ?? NaN,
        words: ended.map((one) => one.words).join(''),
      };
    },
    async close() {
      host.disconnect();
      await exit;
    },
  };
}

/** Reads what one command after the other prints, each up to the line with which it ends. */
function readerOf(stream: Readable | null): () => Promise<EndedCommand> {
  let text = '';
  let wake: () => void = () => undefined;
  stream?.setEncoding('utf8').on('data', (part: string) => {
    text += part;
    wake();
  });
  return async () => {
    for (;;) {
      const last = LAST.exec(text);
      if (last !== null) {
        const words = text.slice(0, last.index);
        text = text.slice(last.index + last[0].length);
        return { status: Number(last.groups?.['status']), words };
      }
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  };
}
