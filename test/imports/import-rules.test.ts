import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '../..');
const CONFIGURATION = '.dependency-cruiser.cjs';

interface Rule {
  readonly name: string;
  readonly from: { readonly path?: string };
  readonly to: { readonly path?: string };
}
const { forbidden } = createRequire(import.meta.url)(join(ROOT, CONFIGURATION)) as {
  forbidden: readonly Rule[];
};

/** A file below src, and what it imports: the first import breaks the rule, the second one is allowed. */
type Break = readonly [file: string, breaks: string, allowed?: string];

const BREAKS: Readonly<Record<string, readonly Break[]>> = {
  'no-circular': [['core/a-circle.ts', './circle-back.ts', './clock.ts']],
  'each-folder-has-a-rule': [['annex/room.ts', '../core/clock.ts']],
  'main-imports-downwards': [['main.ts', './process/worker.ts', './cli/serve.ts']],
  'cli-imports-downwards': [['cli/start.ts', '../launch/launch.mjs', '../setup/token.ts']],
  'process-imports-downwards': [
    ['process/up.ts', '../cli/serve.ts', '../compose/keys.ts'],
    ['process/aside.ts', '../setup/token.ts', '../config/config.ts'],
  ],
  'compose-imports-downwards': [['compose/up.ts', '../process/worker.ts', '../http/app.ts']],
  ...Object.fromEntries(
    [
      'attestation',
      'audit',
      'authz',
      'backup',
      'hsm',
      'http',
      'identity',
      'observability',
      'store',
    ].map((adapter) => [
      `${adapter}-imports-downwards`,
      [
        [
          `${adapter}/neighbour.ts`,
          adapter === 'http' ? '../store/rows.ts' : '../http/app.ts',
          '../network/fetch.ts',
        ],
        [`${adapter}/inner/up.ts`, '../../config/config.ts', '../../core/clock.ts'],
      ] as const,
    ]),
  ),
  'network-imports-downwards': [['network/up.ts', '../http/app.ts', '../core/clock.ts']],
  'core-imports-downwards': [['core/keys/up.ts', '../../network/fetch.ts', '../clock.ts']],
  'config-imports-downwards': [['config/up.ts', '../identity/tokens.ts', '../core/clock.ts']],
  'setup-imports-downwards': [['setup/up.ts', '../store/rows.ts', '../core/clock.ts']],
  'launch-imports-downwards': [['launch/up.mjs', '../core/clock.ts', './launch.mjs']],
  'core-does-no-input-or-output': [
    ...[
      'child_process',
      'cluster',
      'dgram',
      'dns',
      'fs',
      'fs/promises',
      'http',
      'http2',
      'https',
      'inspector',
      'net',
      'tls',
      'worker_threads',
    ].map((module) => [`core/io/${module.replace('/', '-')}.ts`, `node:${module}`] as const),
    ['core/io/prefixless.ts', 'fs', 'node:crypto'],
    ['core/io/package.ts', 'pino', 'node:timers/promises'],
  ],
  'launch-needs-no-package': [['launch/early.mjs', 'pino', 'node:fs']],
  'the-store-never-calls-the-hsm': [
    ['store/calls.ts', '../core/keys/hsm.ts', '../core/clock.ts'],
    ['store/releases.ts', '../core/release/key-release.ts'],
  ],
  'only-hsm-imports-graphene-pk11': [
    ['compose/module.ts', 'graphene-pk11'],
    ['store/driver.ts', 'pkcs11js', 'kysely'],
  ],
  'only-store-imports-kysely': [
    ['compose/database.ts', 'kysely'],
    ['audit/rows.ts', 'pg', 'pino'],
  ],
  'only-authz-imports-casbin': [['http/decide.ts', 'casbin', 'express']],
  'only-http-imports-express': [['identity/server.ts', 'express']],
  'only-observability-imports-prom-client': [['audit/count.ts', 'prom-client']],
  'only-cli-imports-commander': [['process/words.ts', 'commander']],
};

/** What the files above import. */
const IMPORTED = [
  'cli/serve.ts',
  'compose/keys.ts',
  'config/config.ts',
  'core/clock.ts',
  'core/keys/hsm.ts',
  'core/release/key-release.ts',
  'http/app.ts',
  'identity/tokens.ts',
  'launch/launch.mjs',
  'network/fetch.ts',
  'process/worker.ts',
  'setup/token.ts',
  'store/rows.ts',
];
const PACKAGES = [
  'casbin',
  'commander',
  'express',
  'graphene-pk11',
  'kysely',
  'pg',
  'pino',
  'pkcs11js',
  'prom-client',
];

interface Violation {
  readonly from: string;
  readonly to: string;
  readonly rule: { readonly name: string };
}
let tree: string;
let violations: readonly string[];

/** As `rule: file → what it imports`. */
const line = ({ rule, from, to }: Violation) => `${rule.name}: ${from} → ${to}`;

beforeAll(async () => {
  tree = await mkdtemp(join(tmpdir(), 'strongroom-imports-'));
  await cp(join(ROOT, CONFIGURATION), join(tree, CONFIGURATION));
  await write('tsconfig.json', JSON.stringify({ compilerOptions: { module: 'nodenext' } }));
  await write('package.json', JSON.stringify({ type: 'module' }));
  for (const name of PACKAGES) {
    await write(`node_modules/${name}/package.json`, JSON.stringify({ name, main: 'index.js' }));
    await write(`node_modules/${name}/index.js`, '');
  }
  for (const file of IMPORTED) await write(`src/${file}`, '');
  await write('src/core/circle-back.ts', "import './a-circle.ts';\n");
  for (const [file, ...imported] of Object.values(BREAKS).flat())
    await write(`src/${file}`, imported.map((name) => `import '${name}';\n`).join(''));
  violations = (await cruise(tree)).map(line);
});
afterAll(() => rm(tree, { recursive: true, force: true }));

async function write(path: string, content: string): Promise<void> {
  await mkdir(dirname(join(tree, path)), { recursive: true });
  await writeFile(join(tree, path), content);
}

function cruise(folder: string): Promise<Violation[]> {
  const program = join(ROOT, 'node_modules/dependency-cruiser/bin/dependency-cruise.mjs');
  const words = [program, 'src', '--config', CONFIGURATION, '--output-type', 'json'];
  const options = {
    cwd: folder,
    maxBuffer: 64 * 1024 ** 2,
    env: { ...process.env, NODE_OPTIONS: '' },
  };
  return new Promise((resolve, reject) => {
    execFile(process.execPath, words, options, (error, stdout, stderr) => {
      if (stdout === '') reject(new Error(stderr, { cause: error }));
      else
        resolve(
          (JSON.parse(stdout) as { summary: { violations: Violation[] } }).summary.violations,
        );
    });
  });
}

describe.each(forbidden.map(({ name }) => [name]))('the rule %s', (name) => {
  test('finds each file that breaks it, and only those', () => {
    const found = violations.filter((violation) => violation.startsWith(`${name}: `));
    const breaks = BREAKS[name] ?? [];
    const files = new Set(breaks.map(([file]) => `src/${file}`));
    const isExpected = (violation: string) =>
      [...files].some((file) => violation.startsWith(`${name}: ${file} → `));
    expect(breaks.length).toBeGreaterThan(0);
    expect([...files].filter((file) => !found.some((one) => one.includes(` ${file} → `)))).toEqual(
      [],
    );
    expect(found.filter((one) => !isExpected(one))).toEqual([]);
  });

  test('finds nothing in an import that is allowed', () => {
    const allowed = (BREAKS[name] ?? []).flatMap(([file, , other]) =>
      other === undefined ? [] : [[`src/${file}`, targetOf(file, other)] as const],
    );
    for (const [file, target] of allowed)
      expect(violations.filter((one) => one.endsWith(`: ${file} → ${target}`))).toEqual([]);
  });
});

/** As dependency-cruiser names what a file imports. */
function targetOf(file: string, imported: string): string {
  if (imported.startsWith('.')) return join('src', dirname(file), imported);
  return imported.startsWith('node:') ? imported.slice(5) : `node_modules/${imported}/index.js`;
}

test('no rule is proved that is not there', () => {
  const names = forbidden.map(({ name }) => name);
  expect(Object.keys(BREAKS).filter((name) => !names.includes(name))).toEqual([]);
});

test('each folder of src is in a rule of its own, and each rule has a folder', () => {
  const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `${name}-imports-downwards`);
  const rules = forbidden.map(({ name }) => name).filter((name) => name.endsWith('-downwards'));
  expect([...folders, 'main-imports-downwards'].toSorted()).toEqual(rules.toSorted());
});

test('each file that a rule names is there', () => {
  expect(existsSync(join(ROOT, 'src/core/keys/hsm.ts'))).toBe(true);
  expect(existsSync(join(ROOT, 'src/core/release/key-release.ts'))).toBe(true);
});
