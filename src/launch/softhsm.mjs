import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import { fail, isInstalled, ROOT, say, succeeds } from './common.mjs';

const MANAGERS = [
  {
    program: 'apt-get',
    install: ['install', '-y', '--no-install-recommends', 'softhsm2'],
    refresh: ['update'],
    environment: { DEBIAN_FRONTEND: 'noninteractive' },
    needsRoot: true,
  },
  { program: 'dnf', install: ['install', '-y', 'softhsm'], needsRoot: true },
  { program: 'apk', install: ['add', '--no-cache', 'softhsm'], needsRoot: true },
  { program: 'brew', install: ['install', 'softhsm'], needsRoot: false },
];

/** Installs SoftHSM2 with the system's package manager where no library of it is found. */
export function ensureSoftHsm() {
  if (isSoftHsmInstalled()) return;
  const manager = MANAGERS.find(({ program }) => isInstalled(program));
  if (manager === undefined)
    fail(
      'SoftHSM2, the software HSM that backs development keys, is missing and no known package manager is here: install it, or set PKCS11_MODULE to the library of another HSM.',
    );
  const { program, environment } = manager;
  const isRoot = process.getuid?.() === 0;
  const sudo = manager.needsRoot && !isRoot ? ['sudo', '-n'] : [];
  const run = (options) => {
    // sudo drops the environment.
    const settings = Object.entries(environment ?? {}).map((entry) => entry.join('='));
    const [first, ...rest] = [...sudo, 'env', ...settings, program, ...options];
    return succeeds(first, rest);
  };
  const byHand = `${sudo.length > 0 ? 'sudo ' : ''}${program} ${manager.install.join(' ')}`;
  if (sudo.length > 0 && !(isInstalled('sudo') && succeeds('sudo', ['-n', 'true'])))
    fail(
      `SoftHSM2, the software HSM that backs development keys, has to be installed, which needs rights that this user has not. Run: ${byHand}`,
    );
  say(`installing SoftHSM2 (the software HSM that backs development keys) with ${program}`);
  const isDone =
    run(manager.install) ||
    (manager.refresh !== undefined && run(manager.refresh) && run(manager.install));
  if (!isDone || !isSoftHsmInstalled()) fail(`SoftHSM2 could not be installed. Run: ${byHand}`);
}

/** By the same list as softhsm-library.ts. */
function isSoftHsmInstalled() {
  const patterns = JSON.parse(readFileSync(join(ROOT, 'softhsm/library-paths.json'), 'utf8'));
  return patterns.some((pattern) => {
    const [before, after] = pattern.split('*');
    if (after === undefined) return existsSync(pattern);
    return (
      existsSync(before) && readdirSync(before).some((name) => existsSync(before + name + after))
    );
  });
}
