import graphene, { type Module } from 'graphene-pk11';
import { OperatorError } from '../../core/operator-error.ts';
import { returnValue } from './return-values.ts';
import type { LibraryOptions } from './token-options.ts';

/** @throws OperatorError where there is no module at that path */
export function loadModule(path: string): Module {
  try {
    return graphene.Module.load(path, 'PKCS#11 module');
  } catch (error) {
    throw new OperatorError(
      `PKCS11_MODULE: ${path} can't be loaded as a PKCS#11 module: ${oneLine(error)}.`,
      { cause: error },
    );
  }
}

/** @returns whether several threads may call it at once @throws OperatorError when the module refuses */
export function initialiseLibrary(module: Module, options: LibraryOptions): boolean {
  try {
    return initialise(module, options);
  } catch (error) {
    throw new OperatorError(
      `PKCS11_MODULE: ${options.module} does not start: ${oneLine(error)}. What it reads itself is missing or wrong, as the file that SOFTHSM2_CONF names is for SoftHSM, or it wants PKCS11_LIBRARY_PARAMETERS, as NSS does.`,
      { cause: error },
    );
  }
}

/** For a library that others use in this process already. @throws Error of the binding where it isn't initialised any more */
export function joinLibrary(module: Module): void {
  module.lib.C_GetInfo();
  // It is, so this only reads its description.
  module.initialize({ flags: 0 });
}

/** CKF_OS_LOCKING_OK (PKCS#11 v2.40 §5.4): calls come from several threads, and the library may lock as the system does. */
const OS_LOCKING_OK = 2;

/**
 * Initialises the library, and says whether several threads may call it at once. Without that flag the standard promises
 * nothing but one thread, and SoftHSM takes it at its word: its mutexes do nothing then, and four threads crash it within
 * seconds. With it SoftHSM 2.6.1 did 37 million calls in four threads, operations as they are here, without an error or
 * a wrong result, and the one data race that helgrind sees is in the buffer of a log message.
 */
function initialise(module: Module, { module: path, libraryParameters }: LibraryOptions): boolean {
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

/** The binding's own words may go on for lines: a stack. */
export function oneLine(error: unknown): string {
  const [line = ''] = (error instanceof Error ? error.message : String(error)).split('\n');
  return line.replace(/^Error: |\.$/g, '');
}

/** For what is given up: something that is broken already is no news. */
export function giveUp(action: () => void): void {
  try {
    action();
  } catch {
    // It was broken already.
  }
}
