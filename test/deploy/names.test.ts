import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { createCliContext } from '../../src/cli/cli-context.ts';
import { createProgram } from '../../src/cli/program.ts';
import { isProduction, readConfig } from '../../src/config/config.ts';
import { SETTINGS } from '../../src/config/settings.ts';
import { type MetricsServer, startMetricsServer } from '../../src/observability/metrics-server.ts';
import { constantAt } from '../documents/constants.ts';
import { freePort } from '../support/free-port.ts';
import { deployFiles, FOLDER, textOf, variablesIn } from './files.ts';

const MACHINE = { cores: 2, memoryBytes: 4 * 1024 ** 3 };

/** What the files below deploy/ name is there in the source; documents have suites of their own. */
const files = [...deployFiles].filter(([path]) => !path.endsWith('.md'));
const namesIn = (pattern: RegExp) =>
  files.flatMap(([path, text]) =>
    [...text.matchAll(pattern)].map(([, name = '']) => ({ path, name })),
  );

test('each setting is one of the service', () => {
  const named = namesIn(/\b((?:STRONGROOM|PKCS11|OTEL)_[A-Z0-9_]*[A-Z0-9]|DATABASE_URL)\b/g);
  expect(named.length).toBeGreaterThan(60);
  expect(named.filter(({ name }) => !Object.hasOwn(SETTINGS, name))).toEqual([]);
});

test('each port of the service is the one that it listens on unless told otherwise', () => {
  const port = (name: keyof typeof SETTINGS) => SETTINGS[name].safeParse(undefined).data;
  const ours = [port('STRONGROOM_LISTEN'), port('STRONGROOM_METRICS_LISTEN')].map((address) =>
    String(address).replace(/^.*:/, ''),
  );
  expect(ours).toEqual(['8443', '9464']);
  const named = namesIn(
    /(?:containerPort: |[\d\]s]:|^ *port: |_LISTEN=[\d.]+:|EXPOSE (?:\d+ )?)([89]\d{3})\b/gm,
  );
  expect(named.length).toBeGreaterThan(10);
  expect(named.filter(({ name }) => !ours.includes(name))).toEqual([]);
});

test('each command is one of the program, with options that it has', () => {
  const program = createProgram(createCliContext({}), (command) => command());
  const named = [
    ...namesIn(/^ *(?:args|command): \[((?:serve|migrate|bootstrap)\b[^\]]*)\]/gm),
    ...namesIn(/^ExecStart=.*\/main\.js (.*)$/gm),
    ...namesIn(/^CMD \["(\w+)"\]/gm),
    ...namesIn(/-- strongroom ([a-z -]+?)(?: \/|$)/gm),
  ];
  expect(named.length).toBeGreaterThan(7);
  const unknown = named.filter(({ name }) => {
    const [command, ...options] = name.split(/[, ]+/);
    const found = program.commands.find((one) => one.name() === command);
    return !options.every((option) => found?.options.some(({ long }) => long === option)) || !found;
  });
  expect(unknown).toEqual([]);
});

test('each script of the image is there', () => {
  const named = namesIn(/\/opt\/strongroom\/container\/([\w-]+\.mjs)/g);
  expect(new Set(named.map(({ name }) => name))).toEqual(
    new Set(['probe.mjs', 'reload.mjs', 'softhsm-token.mjs']),
  );
  expect(named.filter(({ name }) => !existsSync(join(FOLDER, 'container', name)))).toEqual([]);
});

describe('probes', () => {
  let metrics: MetricsServer;
  let port: number;
  let isReady = true;

  beforeAll(async () => {
    port = await freePort();
    metrics = await startMetricsServer({
      host: '0.0.0.0',
      port,
      names: [],
      readState: () => ({ wanted: 1, ready: isReady ? 1 : 0, parts: { hsm: isReady } }),
    });
  });
  afterAll(() => metrics.close());

  test('ask for what the metrics listener answers, by an address', async () => {
    const paths = [
      ...namesIn(/(?:^ *path: |httpGet: \{ path: )(\/(?!spec)\w+)/gm),
      ...namesIn(/probe\.mjs"?, "?(\/\w+)/g),
    ];
    expect(new Set(paths.map(({ name }) => name))).toEqual(
      new Set(['/healthz', '/readyz', '/metrics']),
    );
    for (const { name } of paths)
      expect((await fetch(`http://127.0.0.1:${port}${name}`)).status).toBe(200);
  });

  test("tell a container's engine whether it serves", async () => {
    const probe = async (path: string, listen = `0.0.0.0:${port}`) => {
      const child = spawn(process.execPath, [join(FOLDER, 'container/probe.mjs'), path], {
        env: { STRONGROOM_METRICS_LISTEN: listen },
        stdio: 'ignore',
      });
      const [status] = (await once(child, 'exit')) as [number];
      return status;
    };
    expect(await probe('/readyz')).toBe(0);
    isReady = false;
    expect([await probe('/readyz'), await probe('/healthz')]).toEqual([1, 0]);
    expect(await probe('/healthz', `0.0.0.0:${await freePort()}`)).toBe(1);
  });
});

test('whoever ends the service waits as long as it may take', () => {
  const atMostSeconds =
    (Number(constantAt('src/process/worker-fleet.ts#STOPPING.limitMs')) +
      Number(constantAt('src/process/watched-worker.ts#CLOSING_MS'))) /
    1_000;
  const waits = namesIn(/(?:TimeoutStopSec=|stop_grace_period: )(\d+)(?:s|$)/gm)
    .filter(({ path, name }) => path !== 'compose/compose.yaml' || name !== '60')
    .map(({ name }) => Number(name));
  expect(waits).toHaveLength(2);
  const pods = ['helm/strongroom/templates/deployment.yaml', 'kustomize/base/deployment.yaml'];
  for (const path of pods) {
    const text = textOf(path);
    const grace = Number(/terminationGracePeriodSeconds: (\d+)/.exec(text)?.[1]);
    waits.push(grace - Number(/\[sleep, '(\d+)'\]/.exec(text)?.[1]));
  }
  expect(waits.filter((wait) => !(wait > atMostSeconds))).toEqual([]);
});

test.each(['systemd/strongroom.env', 'kustomize/overlays/example/settings.env'])(
  'the settings of %s are those of a production start, with what the files beside it add',
  (path) => {
    const beside = path.startsWith('systemd') || {
      DATABASE_URL: 'postgres://there',
      STRONGROOM_TLS_CERT_FILE: '/cert',
      STRONGROOM_TLS_KEY_FILE: '/key',
    };
    const { config } = readConfig(
      { PKCS11_PIN_FILE: '/pin', ...(beside === true ? {} : beside), ...variablesIn(textOf(path)) },
      MACHINE,
    );
    expect(isProduction(config)).toBe(true);
    expect(config.listen.host).toBe('0.0.0.0');
  },
);
