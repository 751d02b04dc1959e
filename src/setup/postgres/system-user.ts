import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { SetupError } from '../setup-error.ts';

export interface SystemUser {
  readonly uid: number;
  readonly gid: number;
}

const run = promisify(execFile);
const ENVIRONMENT = { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' };

/** Debian's and the like, then BusyBox's. */
const WAYS_TO_ADD = [
  ['useradd', '--system', '--user-group', '--no-create-home', '--home-dir', '/nonexistent'],
  ['adduser', '-S', '-D', '-H', '-h', '/nonexistent'],
] as const;

/**
 * The user without rights that PostgreSQL runs as where the service is root's; makes it where it is missing.
 * @throws SetupError when it can't be made
 */
export async function ensureSystemUser(name: string): Promise<SystemUser> {
  const found = await findUser(name);
  if (found !== undefined) return found;
  for (const [program, ...options] of WAYS_TO_ADD) {
    const shell = ['-s', '/bin/false'];
    // A missing program and a refused one are the same here: the user isn't there afterwards.
    await run(program, [...options, ...shell, name], { env: ENVIRONMENT }).catch(() => undefined);
    const made = await findUser(name);
    if (made !== undefined) return made;
  }
  throw new SetupError(
    `PostgreSQL refuses to run as root, and the system user "${name}" can't be made: run Strongroom as an ordinary user, make that user, or set DATABASE_URL.`,
  );
}

async function findUser(name: string): Promise<SystemUser | undefined> {
  try {
    const [uid, gid] = await Promise.all(
      ['-u', '-g'].map(async (option) => {
        const { stdout } = await run('id', [option, name], { env: ENVIRONMENT });
        return Number.parseInt(stdout, 10);
      }),
    );
    // User 0 would defeat the purpose.
    return uid && gid !== undefined ? { uid, gid } : undefined;
  } catch {
    return undefined;
  }
}
