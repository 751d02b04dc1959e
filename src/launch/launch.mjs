// The way in from a bare clone: `npm start`, `npm run dev`, `npm test`, `npm run bench` and `npm run build`. Plain JavaScript on Node's
// own modules only, since it runs before anything is installed or compiled.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { runForeground } from './child.mjs';
import { fail, ROOT } from './common.mjs';
import { runDevelopment } from './dev.mjs';
import { build, ensureBuilt, ensureModules, isInPlace } from './project.mjs';
import { ensureSoftHsm } from './softhsm.mjs';

const PRODUCTION_SETTINGS = [
  'DATABASE_URL',
  'PKCS11_MODULE',
  'STRONGROOM_TLS_CERT_FILE',
  'STRONGROOM_TLS_KEY_FILE',
];

/** Of jest's options those that say how many suites run side by side: it takes one of them. */
const SIDE_BY_SIDE = /^(?:--maxWorkers|-w|--runInBand|-i)(?:=|$)/;

const commands = {
  async start(args) {
    const isProduction = PRODUCTION_SETTINGS.every((name) => process.env[name]);
    if (!isProduction || !isInPlace()) {
      await ensureBuilt();
      if (!process.env.PKCS11_MODULE) ensureSoftHsm();
    }
    const options = ['--stop-with-parent', ...(isProduction ? [] : ['--development'])];
    // In a session of its own, so that Ctrl-C reaches it once, through this process, and not from the terminal too.
    return runForeground([join(ROOT, 'dist/main.js'), 'serve', ...options, ...args], {
      isOwnSession: true,
    });
  },
  async dev(args) {
    await ensureModules({ withDevelopment: true });
    if (!process.env.PKCS11_MODULE) ensureSoftHsm();
    runDevelopment(args);
  },
  async test(args) {
    await ensureModules({ withDevelopment: true });
    await ensureBuilt();
    ensureSoftHsm();
    // Suites wait now and then, for what is due in seconds: two more than there are cores. Each has a service of its own, and
    // all have one PostgreSQL: not more than eight.
    const workers = `--maxWorkers=${Math.min(availableParallelism() + 2, 8)}`;
    const words = args.some((word) => SIDE_BY_SIDE.test(word)) ? args : [workers, ...args];
    return runForeground([join(ROOT, 'node_modules/jest/bin/jest.js'), ...words]);
  },
  async bench(args) {
    await ensureModules({ withDevelopment: true });
    await ensureBuilt();
    ensureSoftHsm();
    return runForeground([
      '--import',
      import.meta.resolve('tsx'),
      join(ROOT, 'test/bench/main.ts'),
      ...args,
    ]);
  },
  async build() {
    await ensureModules({ withDevelopment: true });
    await build();
  },
};

requireNode(20, 19);
const [name = 'start', ...args] = process.argv.slice(2);
if (!Object.hasOwn(commands, name))
  fail(`there is no command "${name}": use start, dev, test, bench or build.`);
await commands[name](args);

function requireNode(major, minor) {
  const [ours = 0, ourMinor = 0] = process.versions.node.split('.').map(Number);
  if (ours < major || (ours === major && ourMinor < minor))
    fail(`Node.js ${major}.${minor} or newer is needed, and this is ${process.versions.node}.`);
}
