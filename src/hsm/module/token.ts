import graphene, { type Module, type Session, type SessionFlag, type Slot } from 'graphene-pk11';
import type { ModuleFacts } from '../../core/release/key-inspection.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { answerIn } from '../capabilities/lack.ts';
import { describeModule } from '../keys/key-inspection.ts';
import { giveUp, initialiseLibrary, loadModule } from './library.ts';
import { logIn } from './login.ts';
import { findSlot } from './slots.ts';
import { returnValue } from './return-values.ts';
import type { TokenOptions } from './token-options.ts';

/** What a token has said of itself. */
export interface TokenFacts {
  /** Sessions that the token allows at most, or undefined where it doesn't say. */
  readonly sessionLimit: number | undefined;
  /** Whether calls may come from several threads at once; else one thread of the process calls the module. */
  readonly isThreadSafe: boolean;
  /** Its keys are in this process's memory, whatever their attributes say. */
  readonly isSoftware: boolean;
  readonly module: ModuleFacts;
  /** Manufacturer and library, for the log. */
  readonly description: string;
}

/**
 * A token that is logged in to. Login is the application's, not a session's: it is done once, on a session that stays
 * open as long as this does (some modules log out with the last session), and no other session ever logs in or out.
 */
export interface Token {
  readonly facts: TokenFacts;
  readonly slot: Slot;
  /** Keeps the login, and owns the loaded keys: session objects vanish with their session. */
  readonly loginSession: Session;
  readonly openSession: () => Session;
  /** Logs out, and gives the library up; errors of a library that is broken already are no news. */
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
  const module = loadModule(options.module);
  const isThreadSafe = initialiseLibrary(module, options);
  try {
    const slot = findSlot(module, options);
    const session = slot.open(READ_WRITE);
    logIn(session, options);
    const { maxSessionCount } = slot.getToken();
    const { major, minor } = module.libraryVersion;
    return tokenOf(module, slot, session, {
      sessionLimit: maxSessionCount > 0 && maxSessionCount < NO_LIMIT ? maxSessionCount : undefined,
      isThreadSafe,
      isSoftware: SOFTWARE.has(module.manufacturerID.trim()),
      module: describeModule(module, slot),
      description: `${module.manufacturerID.trim()}, ${module.libraryDescription.trim()} ${major}.${minor}`,
    });
  } catch (error) {
    giveUp(() => {
      module.finalize();
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

/** A token as plain data: what a module has initialised and given handles for holds in all threads of a process. */
export interface SerializedToken {
  /** Path of the PKCS#11 library. */
  readonly path: string;
  readonly slot: Uint8Array;
  readonly loginSession: Uint8Array;
  readonly facts: TokenFacts;
}

export function serializeToken(
  { slot, loginSession, facts }: Token,
  path: string,
): SerializedToken {
  return {
    path,
    slot: Uint8Array.from(slot.handle),
    loginSession: Uint8Array.from(loginSession.handle),
    facts,
  };
}

/** The token that another thread has opened. */
export function deserializeToken(token: SerializedToken): Token {
  const module = loadModule(token.path);
  const slot = new graphene.Slot(Buffer.from(token.slot), module, module.lib);
  const session = new graphene.Session(Buffer.from(token.loginSession), slot, module.lib);
  return tokenOf(module, slot, session, token.facts);
}

function tokenOf(module: Module, slot: Slot, session: Session, facts: TokenFacts): Token {
  return {
    facts,
    slot,
    loginSession: session,
    openSession: () => slot.open(READ_WRITE),
    close: () => {
      close(module, slot.handle, session.handle);
    },
  };
}

function close(module: Module, slot: Buffer, session: Buffer): void {
  giveUp(() => {
    module.lib.C_Logout(session);
  });
  giveUp(() => {
    module.lib.C_CloseAllSessions(slot);
  });
  giveUp(() => {
    module.finalize();
  });
}
