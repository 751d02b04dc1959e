import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ROOT } from '../documents/documents.ts';
import { testToken } from '../support/softhsm.ts';
import { FOLDER, textOf, yamlOf } from './files.ts';

/** The Dockerfile's instructions: comments are gone, and lines that go on are one. */
const instructions = textOf('container/Dockerfile')
  .replace(/^#.*\n/gm, '')
  .replace(/\\\n\s*/g, ' ')
  .split('\n')
  .filter((line) => line !== '');
const all = (name: string) =>
  instructions
    .filter((line) => line.startsWith(`${name} `))
    .map((line) => line.slice(name.length + 1));
const ofRuntime = instructions.slice(
  instructions.findIndex((line) => line.endsWith(' AS runtime')),
);

describe('the Dockerfile', () => {
  test('pins its bases by an exact tag and a digest, and uses no other', () => {
    const images = all('ARG').filter((argument) => argument.includes('IMAGE='));
    expect(images).toHaveLength(2);
    for (const image of images)
      expect(image).toMatch(/^\w+=[a-z]+:\w[\w.]*-[\w-]+@sha256:[0-9a-f]{64}$/);
    const stages = all('FROM').map((words) => words.split(' AS ')[1]);
    const bases = all('FROM').map((words) => words.split(' AS ')[0]);
    expect(bases.filter((base = '') => !base.startsWith('${') && !stages.includes(base))).toEqual(
      [],
    );
    expect(stages.at(-1)).toBe('service');
  });

  test('copies what the package consists of, and what is there', () => {
    const copies = all('COPY').map((words) => words.split(' '));
    const fromBuild = copies
      .filter(([from]) => from === '--from=build')
      .map(([, path = '']) => path.replace('/build/', ''));
    const { files } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as {
      files: string[];
    };
    expect(fromBuild.toSorted()).toEqual(
      [...files, 'package.json', 'node_modules', '/usr/local/bin/node'].toSorted(),
    );
    const fromContext = copies
      .filter(([from = '']) => !from.startsWith('--from='))
      .flatMap((words) => words.slice(0, -1));
    const missing = fromContext.filter(
      (path) => !existsSync(join(ROOT, path.replace(/\/[^/]*\*.*$/, ''))),
    );
    expect(missing).toEqual([]);
    const sent = textOf('container/Dockerfile.dockerignore')
      .split('\n')
      .filter((line) => line.startsWith('!'))
      .map((line) => line.slice(1));
    expect(sent.toSorted()).toEqual(fromContext.toSorted());
  });

  test('leaves compiler and npm behind, and runs as a user of its own', () => {
    const installed = ofRuntime
      .join('\n')
      .matchAll(/apt-get install -y --no-install-recommends ([\w+ -]+?) +&&/g);
    const packages = [...installed].flatMap(([, names = '']) => names.split(' '));
    expect(packages.toSorted()).toEqual(['ca-certificates', 'libsofthsm2', 'libstdc++6', 'tini']);
    const users = ofRuntime.filter((line) => line.startsWith('USER '));
    expect(users.at(-1)).toBe('USER 10001:10001');
    expect(ofRuntime.at(-1)).toBe('FROM runtime AS service');
  });

  test('listens where its ports are', () => {
    const listen = [
      ...all('ENV')
        .join(' ')
        .matchAll(/LISTEN=0\.0\.0\.0:(\d+)/g),
    ];
    expect(listen.map(([, port]) => port)).toEqual(all('EXPOSE').join(' ').split(' '));
  });
});

describe('the compose file', () => {
  const { services } = yamlOf<{
    services: Record<string, { image: string; build?: { target: string; dockerfile: string } }>;
  }>('compose/compose.yaml');

  test('builds the stage with SoftHSM2, and pins PostgreSQL', () => {
    const { build } = services['strongroom'] ?? {};
    expect(existsSync(join(ROOT, build?.dockerfile ?? ''))).toBe(true);
    expect(all('FROM').map((words) => words.split(' AS ')[1])).toContain(build?.target);
    expect(services['postgres']?.image).toMatch(/^postgres:[\d.]+-\w+@sha256:[0-9a-f]{64}$/);
  });
});

describe('softhsm-token.mjs', () => {
  let folder: string;
  const token = testToken();
  const run = (settings: Readonly<Record<string, string>> = {}) =>
    spawnSync(process.execPath, [join(FOLDER, 'container/softhsm-token.mjs')], {
      encoding: 'utf8',
      env: {
        SOFTHSM2_CONF: join(folder, 'made/softhsm2.conf'),
        PKCS11_MODULE: token.module,
        PKCS11_TOKEN_LABEL: 'deployed',
        PKCS11_PIN_FILE: join(folder, 'pin'),
        ...settings,
      },
    });

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
    await writeFile(join(folder, 'pin'), '2718\n');
  });
  afterAll(() => rm(folder, { recursive: true }));

  test('makes a token once, and says what is missing', () => {
    expect(run({ PKCS11_PIN_FILE: '' })).toMatchObject({
      status: 1,
      stderr: 'strongroom: PKCS11_PIN_FILE is missing.\n',
    });
    const first = run();
    expect([first.status, first.stderr]).toEqual([0, expect.stringContaining('made a token')]);
    const configuration = readFileSync(join(folder, 'made/softhsm2.conf'), 'utf8');
    expect(configuration).toContain(`directories.tokendir = ${join(folder, 'made/tokens')}\n`);
    expect(run()).toMatchObject({ status: 0, stderr: expect.stringContaining('there already') });
  });
});
