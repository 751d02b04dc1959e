import { lstat, mkdtemp, readlink, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { SetupError } from '../setup-error.ts';

/**
 * In a line of SoftHSM2's configuration `#` begins a comment wherever it stands, and a second `=` ends the value; there is
 * no way to quote either (src/lib/common/SimpleConfigLoader.cpp).
 */
const UNWRITABLE = /[#=\r\n]/;
/** It reads 1,023 bytes of a line; the rest is for the setting's name and for what is below the folder. */
const PATH_LIMIT = 900;

/**
 * A path of the folder that SoftHSM2's configuration can hold: the folder's own or, where that can't be written there, the
 * one of a link in a private folder for temporary files. The link stays: a process that has the module open goes by it.
 * @param known a path that an earlier call may have answered for this folder
 * @throws SetupError where the folder for temporary files has no such path either
 */
export async function softHsmPathOf(folder: string, known?: string): Promise<string> {
  if (isWritable(folder)) return folder;
  if (known !== undefined && (await isOurLinkTo(folder, known))) return known;
  if (!isWritable(tmpdir()))
    throw new SetupError(
      `SoftHSM2 can't have its token in the data folder ${folder} (STRONGROOM_DATA_DIR), since its configuration can't hold "#", "=", the end of a line or ${PATH_LIMIT} bytes in a path, and the folder for temporary files, ${tmpdir()}, is no better: set another as TMPDIR, or another data folder.`,
    );
  const link = join(await mkdtemp(join(tmpdir(), 'strongroom-')), 'data');
  await symlink(folder, link);
  return link;
}

function isWritable(path: string): boolean {
  return !UNWRITABLE.test(path) && Buffer.byteLength(path) <= PATH_LIMIT;
}

/** The folder for temporary files is everybody's: what has been removed from it, another user may have made again. */
async function isOurLinkTo(folder: string, link: string): Promise<boolean> {
  try {
    const parent = await lstat(dirname(link));
    const isOurs = parent.isDirectory() && parent.uid === process.getuid?.();
    return isOurs && (parent.mode & 0o077) === 0 && (await readlink(link)) === folder;
  } catch {
    return false;
  }
}
