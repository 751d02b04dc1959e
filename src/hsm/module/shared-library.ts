import { realpathSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import type { Module } from 'graphene-pk11';
import { OperatorError, PinRefusedError } from '../../core/operator-error.ts';
import { GenerationQueue } from '../keys/generation-queue.ts';
import { HsmThreads } from './hsm-threads.ts';
import { initialiseLibrary, joinLibrary, loadModule } from './library.ts';
import { openPatientlyAside } from './patience.ts';
import { SharedToken } from './shared-token.ts';
import { TokenUse } from './token-use.ts';
import type { LibraryOptions, TokenOptions } from './token-options.ts';

/** Each pool has one at a time here. */
const GENERATION_LIMITS = { ofOne: 1, waiting: 1_000, waitMs: 60_000 };
const RENEWAL_CHECK_MS = 10;
/** A call under way may take as long as a key takes to be made. */
const RENEWAL_LIMIT_MS = 10_000;

/** Who opens a connection again and again, for as long as the process needs one. */
export interface Member {
  /** Asks its token; where that doesn't answer, the connection is lost, and resolves once it has been closed. */
  check(): Promise<void>;
  /** Has its connection closed and made anew, though it may be well. */
  renew(): void;
}

/**
 * A PKCS#11 library in this process. C_Initialize and C_Finalize are for the whole process, C_Login, C_Logout and
 * C_CloseAllSessions for all of it that uses a token: so what one user must not do to the others happens when the last one
 * leaves. Uses are counted by connection, not by pool: one that is lost has left.
 */
export class SharedLibrary {
  readonly #tokens = new Map<string, SharedToken>();
  readonly #uses = new Set<TokenUse>();
  readonly #members = new Set<Member>();
  readonly threads = new HsmThreads();
  /** Keys that take long are made one at a time, by turns of the pools. */
  readonly generations = new GenerationQueue(GENERATION_LIMITS);
  #parameters: string | undefined;
  #module: Module | undefined;
  #isThreadSafe: boolean | undefined;
  /** It is being finalised in a thread. */
  #isEnding = false;
  #turn: Promise<void> = Promise.resolve();
  #hanging = 0;
  #renewal: Promise<void> | undefined;

  /** Whether it bears several threads, as was found out when it was initialised; undefined where it isn't. */
  get isThreadSafe(): boolean | undefined {
    return this.#isThreadSafe;
  }

  /** One for all its users in this thread: some libraries give each that loads them a state of its own. */
  load(path: string): Module {
    return (this.#module ??= loadModule(path));
  }

  /**
   * Begins a use. Nothing is asked of the library yet.
   * @throws PinRefusedError where the HSM has refused this PIN, or another one is in use; OperatorError where the library can't be shared so
   */
  enter({ module, tokenLabel, pin, libraryParameters }: TokenOptions): TokenUse {
    if (this.#isEnding)
      throw new OperatorError(`PKCS11_MODULE: ${module} is being given up by this process.`);
    if (this.#uses.size > 0 && libraryParameters !== this.#parameters)
      throw new OperatorError(
        `PKCS11_MODULE: ${module} is in use by this process with other parameters (PKCS11_LIBRARY_PARAMETERS), and a library is initialised once for a process.`,
      );
    const token = this.#tokenLabelled(tokenLabel);
    token.requirePin(pin);
    this.#parameters = libraryParameters;
    const use: TokenUse = new TokenUse({
      token,
      module: () => this.load(module),
      leave: () => this.#leave(use),
      ended: () => {
        this.#isEnding = false;
        this.#forget();
      },
    });
    this.#uses.add(use);
    return use;
  }

  /** By its first user; the others find it so. @throws OperatorError when it refuses */
  initialise(options: LibraryOptions): Module {
    const module = this.load(options.module);
    if (this.#isThreadSafe === undefined) this.#isThreadSafe = initialiseLibrary(module, options);
    else joinLibrary(module);
    return module;
  }

  /** That a thread has initialised it. */
  initialised(isThreadSafe: boolean): void {
    this.#isThreadSafe = isThreadSafe;
  }

  /** Whether several pools use it, or will again. */
  get isShared(): boolean {
    return this.#members.size > 1;
  }

  /** @returns what ends the membership */
  join(member: Member): () => void {
    this.#members.add(member);
    return () => {
      this.#members.delete(member);
    };
  }

  /**
   * Opens a connection while others may have theirs. Where that fails, and would not if the library were initialised now,
   * all give way, it is initialised anew, and they open theirs again.
   */
  async open<T>(options: TokenOptions, open: () => Promise<T> | T, member?: Member): Promise<T> {
    await this.#renewal;
    await this.#checkOthers(member);
    if (this.#uses.size === 0) return open();
    const token = this.#tokenLabelled(options.tokenLabel);
    const { logins } = token;
    try {
      return await openPatientlyAside(open);
    } catch (error) {
      if (error instanceof PinRefusedError || this.#uses.size === 0) throw error;
      // A token that is open, but has not what this user looks for, is not the library's fault.
      if (token.logins > logins || !(await token.opensWhereFresh(options))) throw error;
      token.renewed();
      await (this.#renewal ??= this.#renew());
      return open();
    }
  }

  /**
   * Each of the others is asked whether it is well, and leaves where it isn't. So the library is finalised when all have
   * found it lost, and no handle of what is lost is taken for one that is made now.
   */
  async #checkOthers(than: Member | undefined): Promise<void> {
    const others = [...this.#members].filter((member) => member !== than);
    await Promise.all(others.map((member) => member.check()));
  }

  /** Until nobody uses it: who has just opened a connection hears of it too. */
  async #renew(): Promise<void> {
    const end = performance.now() + RENEWAL_LIMIT_MS;
    const tried = [...this.#tokens.values()].map((token) => ({ token, found: token.tried }));
    while (this.#uses.size > 0 && performance.now() < end) {
      for (const member of this.#members) member.renew();
      await delay(RENEWAL_CHECK_MS);
    }
    // The module is the same: who opens it again isn't to wait until everything has been tried anew.
    for (const { token, found } of tried) for (const one of found) token.learn(one);
    this.#renewal = undefined;
  }

  /** Runs what opens it in a thread, one after the other. @throws OperatorError where one hangs */
  async inTurn<T>(open: () => Promise<T>): Promise<T> {
    const before = this.#turn;
    const opening = before.then(() => {
      if (this.#hanging > 0)
        throw new OperatorError(
          'PKCS11_MODULE: the module hangs in an earlier opening, which can not be ended.',
        );
      return open();
    });
    this.#turn = opening.then(
      () => undefined,
      () => undefined,
    );
    return opening;
  }

  /** That a call of it hangs in a thread. */
  hangs(): void {
    this.#hanging += 1;
  }

  /** That it has come back nevertheless. */
  comesBack(): void {
    this.#hanging -= 1;
  }

  /** @returns whether it is to be finalised, since nobody is left */
  #leave(use: TokenUse): boolean {
    if (!this.#uses.delete(use) || this.#uses.size > 0) return false;
    this.#isEnding = this.#isThreadSafe !== undefined;
    if (!this.#isEnding) this.#forget();
    return this.#isEnding;
  }

  #forget(): void {
    this.#module = undefined;
    this.#isThreadSafe = undefined;
  }

  #tokenLabelled(label: string): SharedToken {
    const known = this.#tokens.get(label);
    if (known !== undefined) return known;
    const token = new SharedToken(label);
    this.#tokens.set(label, token);
    return token;
  }
}

const LIBRARIES = new Map<string, SharedLibrary>();

/** The one at a path, whatever links lead there. */
export function sharedLibrary({ module }: LibraryOptions): SharedLibrary {
  const path = realPathOf(module);
  const known = LIBRARIES.get(path);
  if (known !== undefined) return known;
  const library = new SharedLibrary();
  LIBRARIES.set(path, library);
  return library;
}

/** A bare name is the system's to find, and one that isn't there is told of by who loads it. */
function realPathOf(path: string): string {
  try {
    return realpathSync(path);
  } catch {
    return path;
  }
}
