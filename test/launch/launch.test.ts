import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, cp, mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';

const ROOT = fileURLToPath(new URL('../../', import.meta.url));
/** In the place of the service: prints what it is given, and ends on the signal that it is told to. */
const MAIN = `
  console.log('args', JSON.stringify(process.argv.slice(2)));
  const [task, status] = process.argv.slice(2).filter((word) => word !== 'serve' && !word.startsWith('--'));
  if (task === 'status') process.exit(Number(status));
  if (task === 'die') process.kill(process.pid, 'SIGKILL');
  let count = 0;
  for (const name of ['SIGTERM', 'SIGINT'])
    process.on(name, () => {
      count += 1;
      setTimeout(() => { console.log(name, count); process.exit(0); }, 300);
    });
  setInterval(() => {}, 1_000);
  console.log('ready');
`;
/** All that a start without a database, a driver or a certificate to make is told. */
const PRODUCTION = {
  DATABASE_URL: 'postgres://elsewhere/strongroom',
  PKCS11_MODULE: '/opt/hsm/libhsm.so',
  STRONGROOM_TLS_CERT_FILE: '/etc/tls/server.pem',
  STRONGROOM_TLS_KEY_FILE: '/etc/tls/server.key',
};

let project: string;

beforeEach(async () => {
  // What a path may hold, and a URL, a shell's word or a pattern takes for something else.
  project = await mkdtemp(join(tmpdir(), "strongroom test é%20#?'-"));
  await cp(join(ROOT, 'src'), join(project, 'src'), {
    recursive: true,
    filter: (path) => !path.endsWith('.ts'),
  });
  await cp(join(ROOT, 'softhsm'), join(project, 'softhsm'), { recursive: true });
  await mkdir(join(project, 'dist'));
  await mkdir(join(project, 'node_modules', 'pkcs11js'), { recursive: true });
  await writeFile(join(project, 'package.json'), '{ "type": "module" }');
  await writeFile(join(project, 'dist', 'main.js'), MAIN);
});

afterEach(async () => {
  await rm(project, { recursive: true, force: true });
});

interface Launched {
  readonly process: ChildProcess;
  output(): string;
  waitFor(text: string): Promise<void>;
  /** Status and signal. */
  readonly end: Promise<[number | null, string | null]>;
}

function launch(args: readonly string[], environment: Record<string, string> = {}): Launched {
  const child = spawn(process.execPath, [join(project, 'src/launch/launch.mjs'), ...args], {
    env: { PATH: process.env['PATH'], ...environment },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  return {
    process: child,
    output: () => output,
    async waitFor(text) {
      while (!output.includes(text)) await once(child.stdout, 'data');
    },
    end: once(child, 'close') as Promise<[number | null, string | null]>,
  };
}

/** A folder for PATH with programs that note how they are called in a file, and do a thing. */
async function fakePrograms(programs: Record<string, string>): Promise<string> {
  const folder = join(project, 'bin');
  await mkdir(folder);
  for (const [name, script] of Object.entries(programs)) {
    await writeFile(
      join(folder, name),
      `#!/bin/sh\necho "${name} $*" >> "${project}/calls"\n${script}\n`,
    );
    await chmod(join(folder, name), 0o755);
  }
  return folder;
}

const calls = () => readFile(join(project, 'calls'), 'utf8');

describe('npm start, with everything in place', () => {
  test('runs the service with its arguments, and ends with its status', async () => {
    const run = launch(['start', 'status', '7']);
    expect(await run.end).toEqual([7, null]);
    expect(run.output()).toBe('args ["serve","--stop-with-parent","--development","status","7"]\n');
  });

  test('installs and builds nothing again', async () => {
    const path = await fakePrograms({ npm: '', npx: '' });
    const run = launch(['start', 'status', '0'], { PATH: `${path}:${process.env['PATH'] ?? ''}` });
    expect(await run.end).toEqual([0, null]);
    expect(run.output()).not.toContain('strongroom: ');
    await expect(calls()).rejects.toThrow('ENOENT');
  });

  test('ends by the signal that the service ended by', async () => {
    expect(await launch(['start', 'die']).end).toEqual([null, 'SIGKILL']);
  });

  test.each(['SIGTERM', 'SIGINT'] as const)('passes %s on, and waits', async (name) => {
    const run = launch(['start']);
    await run.waitFor('ready');
    run.process.kill(name);
    expect(await run.end).toEqual([0, null]);
    expect(run.output()).toContain(`${name} 1\n`);
  });

  test('passes a signal on once that npm and the terminal both send', async () => {
    const run = launch(['start']);
    await run.waitFor('ready');
    run.process.kill('SIGINT');
    await new Promise((resolve) => setTimeout(resolve, 50));
    run.process.kill('SIGINT');
    await run.end;
    expect(run.output()).toContain('SIGINT 1\n');
  });

  test('ends the service when npm is told to end, which tells the shell between only', async () => {
    const shell = spawn(
      'sh',
      ['-c', `${process.execPath} src/launch/launch.mjs start; echo "this shell stays between"`],
      {
        cwd: project,
        env: { PATH: process.env['PATH'], npm_lifecycle_event: 'start' },
        stdio: ['ignore', 'pipe', 'inherit'],
      },
    );
    let output = '';
    shell.stdout.setEncoding('utf8').on('data', (text: string) => (output += text));
    while (!output.includes('ready')) await once(shell.stdout, 'data');
    shell.kill('SIGTERM');
    // The service holds the pipe until it has ended.
    await once(shell, 'close');
    expect(output).toContain('SIGTERM 1\n');
    expect(output).not.toContain('this shell');
  });

  test.each([
    [[], ['--maxWorkers=N']],
    [['test/config'], ['--maxWorkers=N', 'test/config']],
    [['--maxWorkers=1'], ['--maxWorkers=1']],
    [['--runInBand'], ['--runInBand']],
  ])(
    'runs the tests with %j, several suites side by side unless told how many',
    async (args, expected) => {
      const modules = join(project, 'node_modules');
      await mkdir(join(modules, 'jest/bin'), { recursive: true });
      await writeFile(
        join(modules, 'jest/bin/jest.js'),
        'console.log(JSON.stringify(process.argv.slice(2)))',
      );
      await writeFile(join(modules, 'jest/package.json'), '{ "type": "module" }');
      await mkdir(join(project, 'lib/x86'), { recursive: true });
      await writeFile(join(project, 'lib/x86/so'), '');
      await writeFile(join(project, 'softhsm/library-paths.json'), `["${project}/lib/*/so"]`);
      const run = launch(['test', ...args]);
      expect(await run.end).toEqual([0, null]);
      const words = JSON.parse(run.output()) as string[];
      expect(words.map((word) => word.replace(/=(?:[2-8])$/, '=N'))).toEqual(expected);
    },
  );

  test('says which commands there are when given another', async () => {
    const run = launch(['strat']);
    expect(await run.end).toEqual([1, null]);
    expect(run.output()).toBe(
      'strongroom: there is no command "strat": use start, dev, test, bench or build.\n',
    );
  });
});

describe('npm start, with something missing', () => {
  beforeEach(async () => {
    await writeFile(join(project, 'softhsm/library-paths.json'), `["${project}/lib/*/so"]`);
  });

  test('installs nothing and needs nothing more in production', async () => {
    await writeFile(join(project, 'package-lock.json'), 'none of its business');
    await mkdir(join(project, 'src', 'core'), { recursive: true });
    await writeFile(join(project, 'src', 'main.ts'), 'newer than dist');
    const path = await fakePrograms({ 'apt-get': '', npm: '' });
    const run = launch(['start', 'status', '0'], { ...PRODUCTION, PATH: path });
    expect(await run.end).toEqual([0, null]);
    expect(run.output()).toBe('args ["serve","--stop-with-parent","status","0"]\n');
    await expect(calls()).rejects.toThrow('ENOENT');
  });

  test('installs SoftHSM2, after a look at the package lists where the package is not known', async () => {
    const path = await fakePrograms({
      'apt-get': `case "$*" in
        update) touch "${project}/updated";;
        *) [ -e "${project}/updated" ] || exit 100; mkdir -p "${project}/lib/x86"; touch "${project}/lib/x86/so";;
      esac`,
      sudo: 'shift; exec "$@"',
    });
    const run = launch(['start', 'status', '0'], { PATH: `${path}:/usr/bin:/bin` });
    expect(await run.end).toEqual([0, null]);
    expect(run.output()).toContain('strongroom: installing SoftHSM2');
    const install = 'apt-get install -y --no-install-recommends softhsm2';
    const made = (await calls()).split('\n').filter((line) => line.startsWith('apt-get'));
    expect(made).toEqual([install, 'apt-get update', install]);
  });

  test('installs no SoftHSM2 when another module is named', async () => {
    const path = await fakePrograms({ 'apt-get': '' });
    const environment = { PATH: path, PKCS11_MODULE: '/opt/hsm/libhsm.so' };
    expect(await launch(['start', 'status', '0'], environment).end).toEqual([0, null]);
    await expect(calls()).rejects.toThrow('ENOENT');
  });

  test('says what to do where no package manager is known', async () => {
    const run = launch(['start'], { PATH: await fakePrograms({}) });
    expect(await run.end).toEqual([1, null]);
    expect(run.output()).toMatch(/^strongroom: SoftHSM2, .* is missing .*PKCS11_MODULE/);
  });

  test('says which command to run when the package manager fails', async () => {
    const path = await fakePrograms({ 'apt-get': 'exit 100', sudo: 'shift; exec "$@"' });
    const run = launch(['start'], { PATH: `${path}:/usr/bin:/bin` });
    expect(await run.end).toEqual([1, null]);
    expect(run.output()).toContain('apt-get install -y --no-install-recommends softhsm2\n');
  });

  test('names the packages of the compiler where the driver has to be compiled without one', async () => {
    await rm(join(project, 'node_modules'), { recursive: true });
    const run = launch(['start'], { PATH: await fakePrograms({ npm: '' }) });
    expect(await run.end).toEqual([1, null]);
    expect(run.output()).toMatch(
      /python3 and make and a C\+\+ compiler is missing.*build-essential/,
    );
    await expect(calls()).rejects.toThrow('ENOENT');
  });

  test('installs the packages once when two start at the same time', async () => {
    await rm(join(project, 'node_modules'), { recursive: true });
    await mkdir(join(project, 'lib/x86'), { recursive: true });
    await writeFile(join(project, 'lib/x86/so'), '');
    const modules = `${project}/node_modules/pkcs11js/build/Release`;
    const path = await fakePrograms({
      npm: `sleep 1; mkdir -p "${modules}"; touch "${modules}/pkcs11.node"`,
      ...{ python3: '', make: '', 'c++': '' },
    });
    const runs = [1, 2].map(() =>
      launch(['start', 'status', '0'], { PATH: `${path}:/usr/bin:/bin` }),
    );
    expect(await Promise.all(runs.map(({ end }) => end))).toEqual([
      [0, null],
      [0, null],
    ]);
    expect(await calls()).toBe('npm ci --include=dev --no-audit --no-fund\n');
    expect(runs.map((run) => run.output()).join('')).toContain('another start is preparing');
  });
});
