import { join } from 'node:path';
import { z } from 'zod';
import { readIfPresent, writeFileAtomically } from './private-file.ts';
import { SetupError } from './setup-error.ts';

const Administrator = z.object({
  clientId: z.string(),
  clientSecret: z.string(),
  principalId: z.string(),
});

/** The bootstrap administrator's credentials, from which client.env is written at each start. */
export type AdministratorFile = z.infer<typeof Administrator>;

const fileOf = (folder: string) => join(folder, 'administrator.json');

/** Undefined before the first start. @throws SetupError when the file can't be understood */
export async function readAdministrator(folder: string): Promise<AdministratorFile | undefined> {
  const text = await readIfPresent(fileOf(folder));
  if (text === undefined) return undefined;
  try {
    return Administrator.parse(JSON.parse(text));
  } catch (error) {
    throw new SetupError(
      `${fileOf(folder)} can't be read: remove it, and the next start makes a new administrator in the same database.`,
      { cause: error },
    );
  }
}

/** Readable by its owner only. */
export async function writeAdministrator(
  folder: string,
  administrator: AdministratorFile,
): Promise<void> {
  await writeFileAtomically(fileOf(folder), `${JSON.stringify(administrator)}\n`);
}
