import { access, writeFile } from 'node:fs/promises';
import { OperatorError } from '../core/operator-error.ts';

/** Before anything is made: a secret that can't be written is lost. @throws OperatorError */
export async function requireAbsent(file: string): Promise<void> {
  const isThere = await access(file).then(
    () => true,
    () => false,
  );
  if (isThere)
    throw new OperatorError(
      `${file} (--credentials) is there already, and is not overwritten: name another file.`,
    );
}

/** Of an administrator that was made: they are given once. */
export async function writeCredentials(
  file: string,
  administrator: object | undefined,
): Promise<void> {
  await writeFile(file, `${JSON.stringify(administrator, null, 2)}\n`, { mode: 0o600, flag: 'wx' });
}
