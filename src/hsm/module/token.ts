import graphene, { type Module, type Session, type SessionFlag, type Slot } from 'graphene-pk11';
import { OperatorError } from '../../core/operator-error.ts';
import { answerIn } from '../capabilities/lack.ts';
import { describeModule } from '../keys/key-inspection.ts';
import { giveUp, loadModule } from './library.ts';
import { logIn } from './login.ts';
import { requireShare } from './session-share.ts';
import { sharedLibrary } from './shared-library.ts';
import { findSlot } from './slots.ts';
import { returnValue } from './return-values.ts';
import type { SerializedToken, TokenFacts } from './token-facts.ts';
import type { TokenOptions } from './token-options.ts';
import type { TokenUse } from './token-use.ts';

/**
 * A token that is logged in to. Login is the application's, not a session's: it is done once, on a session that stays
 * open as long as this does (some modules log out with the last session), and no other session ever logs in or out.
 * Others in this process may use the same token, or another one of the same library: each has sessions of its own.
 */
export interface Token {
  readonly facts: TokenFacts;
  readonly slot: Slot;
  /** Keeps the login, and owns the loaded keys: session objects vanish with their session. */
  readonly loginSession: Session;
  readonly openSession: () => Session;
  readonly closeSession: (session: Session) => void;
  readonly use: TokenUse;
  /** Closes what is open here. The last user of the token logs out, the last one of the library gives it up; errors of a library that is broken already are no news. */
  close(): void;
}

const { SERIAL_SESSION, RW_SESSION } = graphene.SessionFlag;
/** A set of flags: the binding's type knows single ones only. */
const READ_WRITE = (SERIAL_SESSION | RW_SESSION) as SessionFlag;
/** By the manufacturers that they name: SoftHSM2, and kryoptic. */
const SOFTWARE: ReadonlySet<string> = new Set(['SoftHSM', 'Kryoptic']);
/** CK_UNAVAILABLE_INFORMATION and CK_EFFECTIVELY_INFINITE, as far as numbers of this size can tell. */
const NO_LIMIT = 0xffff_ffff;

/** @throws OperatorError when there is no such module or token, more than one token, or the PIN is wrong */
export function openToken(options: TokenOptions): Token {
  const library = sharedLibrary(options);
  const use = library.enter(options);
  try {
    const module = library.initialise(options);
    const opened = logInTo(module, options, library.isThreadSafe === true);
    use.loggedIn(opened.slot.handle, opened.loginSession.handle, options.pin);
    requireShare(opened.facts.sessionLimit, use.users, options.tokenLabel);
    return tokenOf(opened, use);
  } catch (error) {
    use.notLoggedIn(options.pin, error);
    use.end();
    throw error;
  }
}

/** A token with its first session. */
export type LoggedIn = Pick<Token, 'facts' | 'slot' | 'loginSession'>;

/** The library has been initialised. What is opened is closed again where the rest fails. */
export function logInTo(module: Module, options: TokenOptions, isThreadSafe: boolean): LoggedIn {
  const slot = findSlot(module, options);
  let loginSession: Session | undefined;
  try {
    loginSession = slot.open(READ_WRITE);
    logIn(loginSession, options);
    const { maxSessionCount } = slot.getToken();
    const { major, minor } = module.libraryVersion;
    const facts = {
      sessionLimit: maxSessionCount > 0 && maxSessionCount < NO_LIMIT ? maxSessionCount : undefined,
      isThreadSafe,
      isSoftware: SOFTWARE.has(module.manufacturerID.trim()),
      module: describeModule(module, slot),
      description: `${module.manufacturerID.trim()}, ${module.libraryDescription.trim()} ${major}.${minor}`,
    };
    return { facts, slot, loginSession };
  } catch (error) {
    giveUp(() => {
      loginSession?.close();
    });
    throw asOperatorError(error, options);
  }
}

/** Of what a module answers that finds its token, and can't work with it. */
function asOperatorError(error: unknown, { module: path, tokenLabel }: TokenOptions): unknown {
  if (returnValue(error) === undefined) return error;
  return new OperatorError(
    `The token "${tokenLabel}" of ${path} can't be opened: ${answerIn(error)}. It may be write-protected, or have no session free; SoftHSM wants to write to the folder of its tokens.`,
    { cause: error },
  );
}

export function serializeToken(
  { slot, loginSession, facts }: LoggedIn,
  path: string,
): SerializedToken {
  return {
    path,
    slot: Uint8Array.from(slot.handle),
    loginSession: Uint8Array.from(loginSession.handle),
    facts,
  };
}

/** What another thread has opened. @param module as this thread has it */
export function deserializeToken(
  token: SerializedToken,
  module = loadModule(token.path),
): LoggedIn {
  const slot = new graphene.Slot(Buffer.from(token.slot), module, module.lib);
  const loginSession = new graphene.Session(Buffer.from(token.loginSession), slot, module.lib);
  return { slot, loginSession, facts: token.facts };
}

export function openSessionOf({ slot }: Pick<LoggedIn, 'slot'>): Session {
  return slot.open(READ_WRITE);
}

export function tokenOf(opened: LoggedIn, use: TokenUse): Token {
  return {
    ...opened,
    use,
    openSession() {
      const session = openSessionOf(opened);
      use.opened(session.handle);
      return session;
    },
    closeSession(session) {
      use.closed(session.handle);
      session.close();
    },
    close: () => {
      use.end();
    },
  };
}
