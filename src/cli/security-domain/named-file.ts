import { open, rm } from 'node:fs/promises';
import { ServiceError } from '../../core/errors.ts';
import { inWords, OperatorError } from '../../core/operator-error.ts';

/** More than any file of a ceremony has: a security domain of a full HSM has some hundred kilobytes. */
const LIMIT_BYTES = 16 * 1024 ** 2;

/**
 * Reads a file and what is in it.
 * @throws OperatorError whose sentence begins with the file, where it can't be read, or `read` refuses it
 */
export async function readNamedFile<Read>(
  path: string,
  read: (bytes: Buffer) => Read | Promise<Read>,
): Promise<Read> {
  const bytes = await readBytes(path);
  return naming(path, () => read(bytes));
}

/** @throws OperatorError in place of a refusal, with the file before the sentence */
export async function naming<Done>(path: string, action: () => Done | Promise<Done>) {
  try {
    return await action();
  } catch (error) {
    if (!(error instanceof ServiceError)) throw error;
    throw new OperatorError(`${path}: ${error.message}`, { cause: error });
  }
}

/** A file that is there already, empty, and that nobody else has: what is written into it can't fail for its name. */
export interface ReservedFile {
  /** Leaves the whole file or none. @throws OperatorError */
  write(text: string): Promise<void>;
  discard(): Promise<void>;
}

/** @throws OperatorError where there is a file already, or where none can be written */
export async function reserveNewFile(path: string): Promise<ReservedFile> {
  const file = await explaining(path, () => open(path, 'wx', 0o600));
  const discard = async () => {
    await file.close();
    await rm(path, { force: true });
  };
  return {
    write: (text) =>
      explaining(path, async () => {
        try {
          await file.writeFile(text);
          await file.sync();
        } catch (error) {
          await discard();
          throw error;
        }
        await file.close();
      }),
    discard,
  };
}

/** Leaves the whole file or none. @throws OperatorError where there is a file already, or where none can be written */
export async function writeNewFile(path: string, text: string): Promise<void> {
  await (await reserveNewFile(path)).write(text);
}

async function explaining<Done>(path: string, action: () => Promise<Done>): Promise<Done> {
  try {
    return await action();
  } catch (error) {
    const isThere = (error as NodeJS.ErrnoException).code === 'EEXIST';
    const words = isThere ? 'it is there already, and is not replaced' : inWords(error);
    if (words === undefined) throw error;
    throw new OperatorError(`${path} can't be written: ${words}.`, { cause: error });
  }
}

async function readBytes(path: string): Promise<Buffer> {
  try {
    const file = await open(path);
    try {
      const { size } = await file.stat();
      if (size > LIMIT_BYTES)
        throw new OperatorError(`${path}: It is larger than ${LIMIT_BYTES / 1024 ** 2} MiB.`);
      return await file.readFile();
    } finally {
      await file.close();
    }
  } catch (error) {
    const words = inWords(error);
    if (words === undefined) throw error;
    throw new OperatorError(`${path} can't be read: ${words}.`, { cause: error });
  }
}
