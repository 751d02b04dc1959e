import type { Capabilities } from '../capabilities/capabilities.ts';
import { probeCapabilities } from '../capabilities/probe.ts';
import { knownFrom, triedModule, type TriedModule } from '../capabilities/tried-module.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { isSlow } from './latency.ts';
import { findRootKeys, type RootKeys } from '../keys/root-keys.ts';
import { deserialize, deserializeError, type SerializedError } from './serialization.ts';
import { startThread } from './thread.ts';
import { giveUp } from './library.ts';
import { requireShare } from './session-share.ts';
import { sharedLibrary } from './shared-library.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { deserializeToken, type LoggedIn, openToken, type Token, tokenOf } from './token.ts';
import type { SerializedToken } from './token-facts.ts';
import { type TokenOptions, tokenOptionsOf } from './token-options.ts';
import type { Ending, TokenUse } from './token-use.ts';

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
  try {
    const found = examine(token, options, roots, known(token.use, tried));
    token.use.learn(triedModule(token.facts, options, found.capabilities));
    return { token, ...found };
  } catch (error) {
    token.close();
    throw error;
  }
}

function known({ tried }: TokenUse, more: TriedModule | undefined): readonly TriedModule[] {
  return more === undefined ? tried : [...tried, more];
}

/** What a token that has just been opened is found to be. */
export function examine(
  { loginSession, facts }: LoggedIn,
  options: ModuleOptions,
  roots: Roots | undefined,
  tried: readonly TriedModule[],
): Omit<OpenedModule, 'token'> {
  return {
    capabilities:
      knownFrom(tried, facts, options, options.keeping ?? 'sealed') ??
      probeCapabilities(loginSession, {
        module: facts.description,
        keyWrapMechanism: options.keyWrapMechanism,
        keeping: options.keeping,
        isSoftware: facts.isSoftware,
      }),
    rootKeys: roots && findRootKeys(loginSession, roots.poolId, roots.generation, roots.keeping),
    isSlow: isSlow(loginSession),
  };
}

export type ModuleTask =
  | {
      readonly do: 'open';
      readonly options: ModuleOptions;
      readonly roots?: Roots;
      readonly tried: readonly TriedModule[];
      /** Others use the library, and found out whether it bears several threads; else it is to be initialised. */
      readonly isThreadSafe?: boolean;
    }
  | { readonly do: 'end'; readonly path: string; readonly ending: Ending };

export type SerializedModule = Omit<OpenedModule, 'token'> & { readonly token: SerializedToken };

export type ModuleAnswer =
  /** A SerializedModule, serialized. */
  | { readonly opened: Uint8Array }
  | { readonly ended: true }
  /** `isThreadSafe`, where the library has been initialised nevertheless. */
  | { readonly failed: SerializedError; readonly isThreadSafe?: boolean | undefined };

export interface Patience {
  readonly limitMs: number;
  readonly onHang: (operation: string) => void;
}

/**
 * As openModule, in a thread of its own: for a module that is known to be slow, or may be, while requests are served. One
 * opening of a library at a time.
 */
export async function openModuleInThread(
  options: ModuleOptions,
  roots: Roots | undefined,
  patience: Patience,
  tried?: TriedModule,
): Promise<OpenedModule> {
  const library = sharedLibrary(options);
  return library.inTurn(async () => {
    const use = library.enter(options);
    const task = taskOf(options, roots, known(use, tried), library.isThreadSafe);
    const settle = (answer: ModuleAnswer) => settled(options, use, answer);
    const answer = await ask(task, patience, (late) => {
      library.comesBack();
      giveUp(() => settle(late));
      void endInThread(use, options.module, patience);
    }).catch((error: unknown) => {
      // A call that hangs can't be cancelled: nobody is to hang after it.
      if (error instanceof HangingError) library.hangs();
      else use.end();
      throw error;
    });
    try {
      return settle(answer);
    } catch (error) {
      await endInThread(use, options.module, patience);
      throw error;
    }
  });
}

function taskOf(
  options: ModuleOptions,
  roots: Roots | undefined,
  tried: readonly TriedModule[],
  isThreadSafe: boolean | undefined,
): ModuleTask {
  const { keeping } = options;
  return {
    do: 'open',
    options: { ...tokenOptionsOf(options), ...(keeping !== undefined && { keeping }) },
    tried,
    ...withoutUndefined({ roots, isThreadSafe }),
  };
}

/** @throws what the thread has failed by */
function settled(options: ModuleOptions, use: TokenUse, answer: ModuleAnswer): OpenedModule {
  const library = sharedLibrary(options);
  if ('failed' in answer) {
    const error = deserializeError(answer.failed);
    if (answer.isThreadSafe !== undefined) library.initialised(answer.isThreadSafe);
    use.notLoggedIn(options.pin, error);
    throw error;
  }
  if (!('opened' in answer)) throw new Error('the module was not opened');
  const { token: serialized, ...found } = deserialize(answer.opened) as SerializedModule;
  library.initialised(serialized.facts.isThreadSafe);
  const opened = deserializeToken(serialized, library.load(options.module));
  use.loggedIn(opened.slot.handle, opened.loginSession.handle, options.pin);
  requireShare(opened.facts.sessionLimit, use.users, options.tokenLabel);
  use.learn(triedModule(opened.facts, options, found.capabilities));
  return { ...found, token: tokenOf(opened, use) };
}

/** Ends a use, in a thread of its own. One that hangs there is reported; more can't be done. */
export async function endInThread(use: TokenUse, path: string, patience: Patience): Promise<void> {
  const ending = use.leave();
  if (ending.sessions.length > 0 || ending.finalises)
    await ask({ do: 'end', path, ending }, patience).catch(() => undefined);
  use.ended(ending);
}

class HangingError extends Error {}

/** One task, one thread. @param onLate is given what comes after the limit */
function ask(
  task: ModuleTask,
  { limitMs, onHang }: Patience,
  onLate: (answer: ModuleAnswer) => void = () => undefined,
): Promise<ModuleAnswer> {
  return new Promise((resolve, reject) => {
    const thread = startThread('module-thread', task);
    let isLate = false;
    const limit = setTimeout(() => {
      isLate = true;
      onHang(`${task.do} module`);
      reject(new HangingError(`The PKCS#11 module did not ${task.do} in time.`));
    }, limitMs);
    thread.once('message', (answer: ModuleAnswer) => {
      if (isLate) onLate(answer);
      else resolve(answer);
    });
    thread.once('error', reject);
    thread.once('exit', () => {
      clearTimeout(limit);
      reject(new Error('The thread that was to open the PKCS#11 module has ended.'));
    });
  });
}
