import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { packageFile } from '../../core/package-file.ts';
import { SetupError } from '../setup-error.ts';

const PATHS_FILE = packageFile('softhsm/library-paths.json');

/**
 * Finds SoftHSM2's PKCS#11 library where the systems put it.
 * @throws SetupError when it isn't installed
 */
export function findSoftHsmLibrary(): string {
  const patterns = JSON.parse(readFileSync(PATHS_FILE, 'utf8')) as string[];
  const found = patterns.flatMap(expand).find((path) => existsSync(path));
  if (found === undefined)
    throw new SetupError(
      'SoftHSM2 is not installed (no libsofthsm2.so): `npm start` installs it, or set PKCS11_MODULE to the library of another HSM.',
    );
  return found;
}

/** One `*` stands for a folder, such as Debian's x86_64-linux-gnu. */
function expand(pattern: string): string[] {
  const [before = '', after] = pattern.split('*');
  if (after === undefined) return [pattern];
  return existsSync(before) ? readdirSync(before).map((name) => before + name + after) : [];
}
