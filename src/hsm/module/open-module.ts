import type { Capabilities } from '../capabilities/capabilities.ts';
import { probeCapabilities } from '../capabilities/probe.ts';
import { knownFrom, type TriedModule } from '../capabilities/tried-module.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { isSlow } from './latency.ts';
import { findRootKeys, type RootKeys } from '../keys/root-keys.ts';
import { deserialize, deserializeError, type SerializedError } from './serialization.ts';
import { startThread } from './thread.ts';
import {
  deserializeToken,
  openToken,
  type SerializedToken,
  serializeToken,
  type Token,
} from './token.ts';
import { type TokenOptions, tokenOptionsOf } from './token-options.ts';

/** The roots that are looked for again when a connection is made anew. */
export interface Roots {
  readonly poolId: string;
  readonly generation: number;
  /** Of the pool's keys; sealed where absent. */
  readonly keeping?: KeyKeeping;
}

/** A token, and how keys are kept in it. */
export interface ModuleOptions extends TokenOptions {
  /** Sealed where absent. */
  readonly keeping?: KeyKeeping;
}

/** What opening the module has come to. */
export interface OpenedModule {
  readonly token: Token;
  readonly capabilities: Capabilities;
  readonly rootKeys: RootKeys | undefined;
  /** Too slow for the event loop to wait for. */
  readonly isSlow: boolean;
}

/**
 * Opens the module, logs in and tries what it can; the thread waits.
 * @param tried by another opening of the same start: the same isn't tried again
 * @throws Error with a sentence for the operator
 */
export function openModule(
  options: ModuleOptions,
  roots: Roots | undefined,
  tried?: TriedModule,
): OpenedModule {
  const token = openToken(options);
  const { loginSession } = token;
  try {
    return {
      token,
      capabilities:
        knownFrom(tried, token.facts, options, options.keeping ?? 'sealed') ??
        probeCapabilities(loginSession, {
          module: token.facts.description,
          keyWrapMechanism: options.keyWrapMechanism,
          keeping: options.keeping,
          isSoftware: token.facts.isSoftware,
        }),
      rootKeys: roots && findRootKeys(loginSession, roots.poolId, roots.generation, roots.keeping),
      isSlow: isSlow(loginSession),
    };
  } catch (error) {
    token.close();
    throw error;
  }
}

export type ModuleTask =
  | { readonly do: 'open'; readonly options: ModuleOptions; readonly roots?: Roots }
  | { readonly do: 'close'; readonly token: SerializedToken };

export type SerializedModule = Omit<OpenedModule, 'token'> & { readonly token: SerializedToken };

export type ModuleAnswer =
  /** A SerializedModule, serialized. */
  | { readonly opened: Uint8Array }
  | { readonly closed: true }
  | { readonly failed: SerializedError };

export interface Patience {
  readonly limitMs: number;
  readonly onHang: (operation: string) => void;
}

/** As openModule, in a thread of its own: for a module that is known to be slow, while requests are served. */
export async function openModuleInThread(
  options: ModuleOptions,
  roots: Roots | undefined,
  patience: Patience,
): Promise<OpenedModule> {
  const answer = await ask(
    {
      do: 'open',
      options: {
        ...tokenOptionsOf(options),
        ...(options.keeping !== undefined && { keeping: options.keeping }),
      },
      ...(roots !== undefined && { roots }),
    },
    patience,
  );
  if (!('opened' in answer)) throw new Error('the module was not opened');
  const opened = deserialize(answer.opened) as SerializedModule;
  return { ...opened, token: deserializeToken(opened.token) };
}

/** Logs out and gives the library up, in a thread of its own. One that hangs there is reported; more can't be done. */
export async function closeModuleInThread(
  token: Token,
  path: string,
  patience: Patience,
): Promise<void> {
  await ask({ do: 'close', token: serializeToken(token, path) }, patience).catch(() => undefined);
}

/** One task, one thread. */
function ask(task: ModuleTask, { limitMs, onHang }: Patience): Promise<ModuleAnswer> {
  return new Promise((resolve, reject) => {
    const thread = startThread('module-thread', task);
    const limit = setTimeout(() => {
      onHang(`${task.do} module`);
      reject(new Error(`The PKCS#11 module did not ${task.do} in time.`));
    }, limitMs);
    thread.once('message', (answer: ModuleAnswer) => {
      if ('failed' in answer) reject(deserializeError(answer.failed));
      else resolve(answer);
    });
    thread.once('error', reject);
    thread.once('exit', () => {
      clearTimeout(limit);
      reject(new Error('The thread that was to open the PKCS#11 module has ended.'));
    });
  });
}
