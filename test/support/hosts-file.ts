import { lookup } from 'node:dns/promises';
import { appendFile } from 'node:fs/promises';

/**
 * Whether a name resolves to this machine; where it doesn't and this user may, the hosts file learns it (the ready
 * message of the service asks people for the same line).
 */
export async function ensureResolves(name: string): Promise<boolean> {
  const resolves = () =>
    lookup(name).then(
      () => true,
      () => false,
    );
  if (await resolves()) return true;
  await appendFile('/etc/hosts', `127.0.0.1 ${name}\n`).catch(() => undefined);
  return resolves();
}
