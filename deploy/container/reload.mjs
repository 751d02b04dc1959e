// Beside a service whose processes it sees, under the same user: `node reload.mjs FOLDER…` sends SIGHUP to the supervisor each
// time that a file in these folders changes, so that a renewed certificate or a changed PIN is used without a restart.
import { createHash } from 'node:crypto';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { setTimeout as sleep } from 'node:timers/promises';

const EVERY_MS = 5_000;
const folders = process.argv.slice(2);
if (folders.length === 0) throw new Error('name the folders whose files are to be watched');
for (const signal of ['SIGTERM', 'SIGINT']) process.once(signal, () => process.exit(0));

let used = digest();
for (;;) {
  await sleep(EVERY_MS);
  const found = digest();
  if (found === used) continue;
  const supervisor = findSupervisor();
  // Not there yet, or between two starts: what starts reads the files anyway, so it is asked until it is there.
  if (supervisor === undefined) continue;
  process.kill(supervisor, 'SIGHUP');
  used = found;
  process.stderr.write(`strongroom: a file has changed: SIGHUP to process ${supervisor}\n`);
}

/** Over names and contents: Kubernetes puts a volume's new files in place all at once, by a link. */
function digest() {
  const hash = createHash('sha256');
  for (const folder of folders)
    for (const entry of readdirSync(folder, { withFileTypes: true })) {
      if (entry.name.startsWith('..') || entry.isDirectory()) continue;
      hash
        .update(`${entry.name}\0`)
        .update(readFileSync(join(folder, entry.name)))
        .update('\0');
    }
  return hash.digest('hex');
}

/** The process of `strongroom serve`, where there is exactly one: its workers have another program in their command line. */
function findSupervisor() {
  const found = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .filter((pid) => {
      const [node = '', program = '', command] = commandLineOf(pid);
      return (
        /(?:^|\/)node$/.test(node) &&
        /\/(?:main\.js|strongroom)$/.test(program) &&
        command === 'serve'
      );
    });
  return found.length === 1 ? found[0] : undefined;
}

function commandLineOf(pid) {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
  } catch {
    return [];
  }
}
