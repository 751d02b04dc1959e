import graphene, { type Module, type Session, type SessionFlag, type Slot } from 'graphene-pk11';
import type { ModuleFacts } from '../../core/release/key-inspection.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { OperatorError, PinRefusedError } from '../../core/operator-error.ts';
import { describeModule } from '../keys/key-inspection.ts';
import { type ReturnValue, returnValue } from './return-values.ts';

export interface TokenOptions {
  /** Path of the PKCS#11 library. */
  readonly module: string;
  /** CKA label of the token; slots are told apart by it, since slot numbers move. */
  readonly tokenLabel: string;
  readonly pin: string;
  /** What the library wants to be told at C_Initialize, as NSS does. */
  readonly libraryParameters?: string;
  /** The number under which the module has RFC 5649; found by trying where absent. */
  readonly keyWrapMechanism?: number;
}

/** Plain data, for another thread or process. */
export function tokenOptionsOf(options: TokenOptions): TokenOptions {
  const { module, tokenLabel, pin, libraryParameters, keyWrapMechanism } = options;
  return {
    module,
    tokenLabel,
    pin,
    ...withoutUndefined({ libraryParameters, keyWrapMechanism }),
  };
}

/** What a token has said of itself. */
interface TokenFacts {
  /** Sessions that the token allows at most, or undefined where it doesn't say. */
  readonly sessionLimit: number | undefined;
  /** Whether calls may come from several threads at once; else one thread of the process calls the module. */
  readonly isThreadSafe: boolean;
  /** SoftHSM: its keys are in this process's memory, whatever their attributes say. */
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
const { TOKEN_INITIALIZED } = graphene.TokenFlag;
/** A set of flags: the binding's type knows single ones only. */
const READ_WRITE = (SERIAL_SESSION | RW_SESSION) as SessionFlag;
/** CK_UNAVAILABLE_INFORMATION and CK_EFFECTIVELY_INFINITE, as far as numbers of this size can tell. */
const NO_LIMIT = 0xffff_ffff;

/** @throws OperatorError where there is no module at that path */
function loadModule(path: string): Module {
  try {
    return graphene.Module.load(path, 'PKCS#11 module');
  } catch (error) {
    throw new OperatorError(
      `PKCS11_MODULE: ${path} can't be loaded as a PKCS#11 module: ${oneLine(error)}.`,
      { cause: error },
    );
  }
}

/** @throws OperatorError when there is no such module or token, more than one token, or the PIN is wrong */
export function openToken(options: TokenOptions): Token {
  const module = loadModule(options.module);
  const isThreadSafe = initialiseFor(options, module);
  try {
    const slot = findSlot(module, options);
    const session = slot.open(READ_WRITE);
    logIn(session, options);
    const { maxSessionCount } = slot.getToken();
    const { major, minor } = module.libraryVersion;
    return tokenOf(module, slot, session, {
      sessionLimit: maxSessionCount > 0 && maxSessionCount < NO_LIMIT ? maxSessionCount : undefined,
      isThreadSafe,
      isSoftware: module.manufacturerID.trim() === 'SoftHSM',
      module: describeModule(module, slot),
      description: `${module.manufacturerID.trim()}, ${module.libraryDescription.trim()} ${major}.${minor}`,
    });
  } catch (error) {
    attempt(() => {
      module.finalize();
    });
    throw error;
  }
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
  attempt(() => {
    module.lib.C_Logout(session);
  });
  attempt(() => {
    module.lib.C_CloseAllSessions(slot);
  });
  attempt(() => {
    module.finalize();
  });
}

/** CKF_OS_LOCKING_OK (PKCS#11 v2.40 §5.4): calls come from several threads, and the library may lock as the system does. */
const OS_LOCKING_OK = 2;

/**
 * Initialises the library, and says whether several threads may call it at once. Without that flag the standard promises
 * nothing but one thread, and SoftHSM takes it at its word: its mutexes do nothing then, and four threads crash it within
 * seconds. With it SoftHSM 2.6.1 did 37 million calls in four threads, operations as they are here, without an error or
 * a wrong result, and the one data race that helgrind sees is in the buffer of a log message.
 */
function initialise(
  module: Module,
  { module: path, libraryParameters }: Omit<TokenOptions, 'tokenLabel'>,
): boolean {
  // The binding cuts the last character off.
  const more =
    libraryParameters === undefined ? {} : { libraryParameters: `${libraryParameters} ` };
  try {
    // Several users of one library in a process share its state: it doesn't matter who has initialised it.
    module.initialize({ flags: OS_LOCKING_OK, ...more });
    return !REFUSES_LOCKS.has(path) && sharesState(path);
  } catch (error) {
    if (returnValue(error) !== 'CKR_CANT_LOCK') throw error;
    REFUSES_LOCKS.add(path);
    module.initialize({ flags: 0, ...more });
    return false;
  }
}

/**
 * Whether all that load the library in a process share what one has initialised, as each thread has to. p11-kit's proxy
 * gives each a state of its own.
 */
function sharesState(path: string): boolean {
  const again = loadModule(path);
  try {
    again.lib.C_GetInfo();
    return true;
  } catch (error) {
    if (returnValue(error) === 'CKR_CRYPTOKI_NOT_INITIALIZED') return false;
    throw error;
  }
}

/** Libraries that are called by one thread. */
const REFUSES_LOCKS = new Set<string>();

/** @throws OperatorError when the module refuses */
function initialiseFor(options: Omit<TokenOptions, 'tokenLabel'>, module: Module): boolean {
  try {
    return initialise(module, options);
  } catch (error) {
    throw new OperatorError(
      `PKCS11_MODULE: ${options.module} does not start: ${oneLine(error)}. What it reads itself is missing or wrong, as the file that SOFTHSM2_CONF names is for SoftHSM, or it wants PKCS11_LIBRARY_PARAMETERS, as NSS does.`,
      { cause: error },
    );
  }
}

/** The labels of a module's initialised tokens; it is given up again. @throws OperatorError when there is no such module */
export function labelsOf(options: Omit<TokenOptions, 'tokenLabel'>): readonly string[] {
  const module = loadModule(options.module);
  initialiseFor(options, module);
  try {
    const slots = module.getSlots(true);
    return Array.from({ length: slots.length }, (_, index) => slots.items(index).getToken())
      .filter(({ flags }) => (flags & TOKEN_INITIALIZED) !== 0)
      .map(({ label }) => label.trimEnd());
  } finally {
    attempt(() => {
      module.finalize();
    });
  }
}

function findSlot(module: Module, { module: path, tokenLabel: label }: TokenOptions): Slot {
  const slots = module.getSlots(true);
  const labels: string[] = [];
  const found: Slot[] = [];
  for (let index = 0; index < slots.length; index += 1) {
    const slot = slots.items(index);
    const token = slot.getToken();
    // Labels are padded with blanks to 32 bytes (PKCS#11 v2.40 §3.2 CK_TOKEN_INFO).
    const name = token.label.trimEnd();
    if ((token.flags & TOKEN_INITIALIZED) !== 0) labels.push(`"${name}"`);
    if (name === label) found.push(slot);
  }
  const [slot, ...others] = found;
  if (slot === undefined)
    throw new OperatorError(
      `PKCS11_TOKEN_LABEL: ${path} (PKCS11_MODULE) has no token with the label "${label}": ${labels.length === 0 ? 'it has none at all' : `those that it has are ${labels.join(', ')}`}.`,
    );
  if (others.length > 0)
    throw new OperatorError(
      `PKCS11_TOKEN_LABEL: ${path} (PKCS11_MODULE) has ${found.length} tokens with the label "${label}".`,
    );
  return slot;
}

const LOGIN_FAULTS: Partial<Readonly<Record<ReturnValue | 'other', string>>> = {
  CKR_PIN_INCORRECT: 'is wrong',
  CKR_PIN_LEN_RANGE: 'is wrong: it is too short or too long',
  CKR_PIN_INVALID: 'is wrong: it has characters that no PIN of it has',
  CKR_PIN_LOCKED: 'is locked after too many wrong attempts',
  CKR_PIN_EXPIRED: 'has expired',
  CKR_USER_PIN_NOT_INITIALIZED: 'has not been set yet',
};

/** That it isn't set yet is also what SoftHSM 2.6.1 answers while another process logs in. */
const REFUSALS: readonly string[] = [
  'CKR_PIN_INCORRECT',
  'CKR_PIN_LEN_RANGE',
  'CKR_PIN_INVALID',
  'CKR_PIN_LOCKED',
  'CKR_PIN_EXPIRED',
] satisfies readonly ReturnValue[];

/** @throws PinRefusedError, and OperatorError for what another attempt may mend */
function logIn(session: Session, { module: path, tokenLabel, pin }: TokenOptions): void {
  try {
    session.login(pin);
  } catch (error) {
    const name = returnValue(error) ?? 'other';
    if (name === 'CKR_USER_ALREADY_LOGGED_IN') return;
    const words = LOGIN_FAULTS[name] ?? `is not taken: ${oneLine(error)}`;
    const LoginError = REFUSALS.includes(name) ? PinRefusedError : OperatorError;
    throw new LoginError(
      `The PIN of the token "${tokenLabel}" of ${path} ${words} (PKCS11_PIN or PKCS11_PIN_FILE; pkcs11-pin in STRONGROOM_DATA_DIR for a token that is made there).`,
      { cause: error },
    );
  }
}

/** The binding's own words may go on for lines: a stack. */
function oneLine(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line.replace(/^Error: |\.$/g, '');
}

function attempt(action: () => void): void {
  try {
    action();
  } catch {
    // Giving up something that is broken already.
  }
}
