import type { Module } from 'graphene-pk11';
import type { TriedModule } from '../capabilities/tried-module.ts';
import { giveUp } from './library.ts';
import type { SharedToken } from './shared-token.ts';

/** What a use of a library comes to at its end, as plain data: for the thread that is to do it. */
export interface Ending {
  /** CK_SESSION_HANDLE, each; the first one has logged in. */
  readonly sessions: readonly Uint8Array[];
  /** Whose login ends, with all that is open in it; undefined where others use the token. */
  readonly slot: Uint8Array | undefined;
  /** Nobody else uses the library. */
  readonly finalises: boolean;
}

export interface TokenUseOptions {
  readonly token: SharedToken;
  /** The library, as this thread has it. */
  readonly module: () => Module;
  /** @returns whether the library is to be finalised, of which `ended` says that it was done */
  readonly leave: () => boolean;
  readonly ended: () => void;
}

/**
 * One connection's use of a token: it knows its own sessions, and closes these and no others when it leaves. Handles of
 * closed sessions are forgotten, since a library may give them to somebody else.
 */
export class TokenUse {
  readonly #options: TokenUseOptions;
  readonly #sessions = new Map<string, Uint8Array>();
  #slot: Uint8Array | undefined;
  #onShared: () => void = () => undefined;

  constructor(options: TokenUseOptions) {
    this.#options = options;
  }

  /** That it is logged in, by its first session. */
  loggedIn(slot: Uint8Array, session: Uint8Array, pin: string): void {
    this.#slot = Uint8Array.from(slot);
    this.opened(session);
    this.#options.token.loggedIn(this, pin, () => {
      this.#onShared();
    });
  }

  notLoggedIn(pin: string, error: unknown): void {
    this.#options.token.notLoggedIn(pin, error);
  }

  /** How many use the token in this process. */
  get users(): number {
    return this.#options.token.users;
  }

  /** @param act is called whenever that changes */
  onShared(act: () => void): void {
    this.#onShared = act;
  }

  /** Of the token, by others that use it in this process. */
  get tried(): readonly TriedModule[] {
    return this.#options.token.tried;
  }

  learn(tried: TriedModule): void {
    this.#options.token.learn(tried);
  }

  opened(session: Uint8Array): void {
    this.#sessions.set(nameOf(session), Uint8Array.from(session));
  }

  closed(session: Uint8Array): void {
    this.#sessions.delete(nameOf(session));
  }

  /** Ends it: errors of a library that is broken already are no news. */
  end(): void {
    const ending = this.leave();
    if (ending.sessions.length > 0 || ending.finalises)
      performEnding(this.#options.module(), ending);
    this.ended(ending);
  }

  /** The same, where another thread is to do it: then `ended` is to be called. */
  leave(): Ending {
    const isLast = this.#options.token.leave(this);
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    return { sessions, slot: isLast ? this.#slot : undefined, finalises: this.#options.leave() };
  }

  ended({ finalises }: Ending): void {
    if (finalises) this.#options.ended();
  }
}

function nameOf(session: Uint8Array): string {
  return Buffer.from(session).toString('hex');
}

export function performEnding(module: Module, { sessions, slot, finalises }: Ending): void {
  const [login] = sessions;
  if (slot === undefined) {
    for (const session of sessions)
      giveUp(() => {
        module.lib.C_CloseSession(Buffer.from(session));
      });
  } else {
    if (login !== undefined)
      giveUp(() => {
        module.lib.C_Logout(Buffer.from(login));
      });
    giveUp(() => {
      module.lib.C_CloseAllSessions(Buffer.from(slot));
    });
  }
  if (finalises)
    giveUp(() => {
      module.finalize();
    });
}
