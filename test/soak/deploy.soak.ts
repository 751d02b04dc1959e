import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { isProduction, readConfig } from '../../src/config/config.ts';
import { CHART, documentsIn, FOLDER } from '../deploy/files.ts';
import { fits, looseEndsOf, type Manifest } from '../deploy/pods.ts';
import { ROOT } from '../documents/documents.ts';
import { until } from '../support/until.ts';

/** What is below deploy/, by the tools that it is for. A machine that lacks one skips its part with the reason. */
const run = (tool: string, args: readonly string[]) =>
  spawnSync(tool, args, { encoding: 'utf8', maxBuffer: 64 * 1024 ** 2 });
const where = (tool: string, ...args: readonly string[]) => {
  const { error, status } = run(tool, args);
  if (error !== undefined) console.warn(`skipped: ${tool} is not on the path`);
  else if (status !== 0) console.warn(`skipped: ${tool} can't be used here`);
  return status === 0 ? describe : describe.skip;
};
const EXAMPLES = ['network-hsm', 'softhsm'];
const KUBERNETES = ['--kube-version', '1.31.0', '--namespace', 'keys'];

/** @throws Error with Helm's words where it refuses the values */
function render(...args: readonly string[]): Manifest[] {
  const { status, stdout, stderr } = run('helm', [
    'template',
    'hsm',
    CHART,
    ...KUBERNETES,
    ...args,
  ]);
  if (status !== 0) throw new Error(stderr);
  return documentsIn<Manifest>(stdout);
}
const valuesOf = (name: string) => ['--values', join(CHART, 'ci', `${name}.yaml`)];

where('helm', 'version')('the chart', () => {
  const cases = ['values.yaml', ...EXAMPLES].map(
    (name) => [name, name === 'values.yaml' ? [] : valuesOf(name)] as const,
  );

  test.each(cases)('is sound by `helm lint --strict` with %s', (_name, values) => {
    expect(run('helm', ['lint', '--strict', CHART, ...values])).toMatchObject({ status: 0 });
  });

  test.each(cases)(
    'makes pods that are confined, with all that they name, of %s',
    (_name, values) => {
      expect(looseEndsIn(render(...values))).toEqual([]);
    },
  );

  test.each(cases)('gives the settings of a production start with %s', (_name, values) => {
    const server = render(...values).find(({ kind }) => kind === 'Deployment');
    const [container] = server?.spec?.template?.spec.containers ?? [];
    const settings = Object.fromEntries(
      container?.env?.map(({ name, value = 'postgres://there' }) => [name, value]) ?? [],
    );
    const { config } = readConfig(settings, { cores: 2, memoryBytes: 4 * 1024 ** 3 });
    expect(isProduction(config)).toBe(true);
    expect(config.metricsHosts).toContain('hsm-strongroom-metrics.keys.svc');
    // What it reads lies in a volume, but for the image's own SoftHSM2.
    const files = Object.entries(settings).filter(([name]) => /_(?:FILE|MODULE|CONF)$/.test(name));
    const mounts = container?.volumeMounts?.map(({ mountPath }) => `${mountPath}/`) ?? [];
    const nowhere = files.filter(
      ([, file]) =>
        !mounts.some((mount) => file.startsWith(mount)) && !file.startsWith('/usr/lib/softhsm/'),
    );
    // The default's module is the vendor's, which only an example installs.
    expect(nowhere.map(([name]) => name)).toEqual(values.length === 0 ? ['PKCS11_MODULE'] : []);
  });

  test("has the repository's alerts and dashboard", () => {
    const manifests = render(...valuesOf('network-hsm'));
    const own = parse(readFileSync(join(ROOT, 'src/observability/alerts.yaml'), 'utf8')) as object;
    expect(manifests.find(({ kind }) => kind === 'PrometheusRule')?.spec).toEqual(own);
    const dashboard = manifests.find(({ kind }) => kind === 'ConfigMap')?.data?.['strongroom.json'];
    expect(JSON.parse(dashboard ?? '')).toEqual(
      JSON.parse(readFileSync(join(ROOT, 'src/observability/dashboard.json'), 'utf8')),
    );
  });

  test.each([
    ['a token of SoftHSM2 for three replicas', 'hsm.softhsm.enabled=true', /replicas to 1/],
    ['an installer without a command', 'hsm.installer.image=x', /hsm.installer.command: missing/],
    ['a CSI volume without a provider', 'hsm.pin.csi.enabled=true', /provider: missing/],
    ['a certificate without an issuer', 'tls.certManager.enabled=true', /issuerRef.name: missing/],
    ['a setting for the module', 'moduleEnvironment.PKCS11_PIN=x', /belongs into settings/],
    ['a value that there is not', 'hsm.modul=/opt/hsm/lib.so', /modul/],
    ['a setting that there is not', 'settings.STRONGROOM_SOFT_DELETE_DAY=30', /SOFT_DELETE_DAY/],
  ])('refuses %s', (_what, value, sentence) => {
    expect(() => render('--set', value)).toThrow(sentence);
  });

  test('makes no replicas where none are wanted, and says how a pool is made', () => {
    const [server] = render('--set', 'replicas=0').filter(({ kind }) => kind === 'Deployment');
    expect(server?.spec).toMatchObject({ replicas: 0 });
  });
});

where('kustomize', 'version')('the overlay', () => {
  test('makes pods that are confined, with all that they name', () => {
    const { stdout, stderr } = run('kustomize', [
      'build',
      join(FOLDER, 'kustomize/overlays/example'),
    ]);
    expect(stderr).toBe('');
    expect(looseEndsIn(documentsIn<Manifest>(stdout))).toEqual([]);
  });
});

where('hadolint', '--version')('the Dockerfile', () => {
  test('has nothing that hadolint finds', () => {
    const { status, stdout } = run('hadolint', [join(FOLDER, 'container/Dockerfile')]);
    expect([status, stdout]).toEqual([0, '']);
  });
});

where('systemd-analyze', '--version')('the units', () => {
  const unit = (name: string) => join(FOLDER, 'systemd', name);

  test.each(['strongroom.service', 'strongroom-migrate.service'])(
    '%s is exposed by 1.5 of 10 at most',
    (name) => {
      const args = ['security', '--offline=true', '--threshold=15', unit(name)];
      expect(run('systemd-analyze', args)).toMatchObject({ status: 0 });
    },
  );

  test('are sound, but for programs that are elsewhere here', () => {
    const names = ['strongroom.service', 'strongroom-migrate.service', 'strongroom-reload.path'];
    const { stderr } = run('systemd-analyze', ['verify', ...names.map(unit)]);
    const lines = stderr.split('\n').filter((line) => line.includes('strongroom'));
    expect(lines.filter((line) => !line.includes('is not executable'))).toEqual([]);
  });
});

/** In a process namespace of its own, as a pod is one: it looks for the supervisor among all processes that it sees. */
const APART = ['--user', '--map-root-user', '--pid', '--fork', '--mount-proc', '--kill-child'];

where(
  'unshare',
  ...APART,
  'true',
)('reload.mjs', () => {
  let folder: string;
  let pod: ChildProcess;
  let output = '';

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
    await mkdir(join(folder, 'tls'));
    await writeFile(join(folder, 'tls/tls.crt'), 'first');
    await writeFile(
      join(folder, 'main.js'),
      "process.on('SIGHUP', () => console.log('hung up')); console.log('serves'); setInterval(() => {}, 1000);",
    );
    const script = `node ${join(folder, 'main.js')} serve & node ${join(FOLDER, 'container/reload.mjs')} ${join(folder, 'tls')} & wait`;
    pod = spawn('unshare', [...APART, 'sh', '-c', script], { stdio: ['ignore', 'pipe', 'pipe'] });
    output = '';
    for (const stream of [pod.stdout, pod.stderr])
      stream?.setEncoding('utf8').on('data', (text: string) => (output += text));
    await until(() => output.includes('serves'));
  });
  afterEach(async () => {
    pod.kill('SIGKILL');
    await rm(folder, { recursive: true });
  });

  test('tells the supervisor once that a file has changed, and nothing while none has', async () => {
    // Longer than the 5 seconds after which it looks.
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(output).not.toContain('hung up');
    await writeFile(join(folder, 'tls/tls.crt'), 'second');
    await until(() => output.includes('hung up'));
    await new Promise((resolve) => setTimeout(resolve, 6_000));
    expect(output.match(/hung up/g)).toHaveLength(1);
  });
});

/** Of pods, and of what selects pods or services and finds none. */
function looseEndsIn(manifests: readonly Manifest[]): readonly string[] {
  const pods = manifests.flatMap(({ kind, metadata, spec }) =>
    spec?.template === undefined ? [] : [{ name: `${kind} ${metadata.name}`, ...spec.template }],
  );
  const services = manifests.filter(({ kind }) => kind === 'Service');
  const isIdle = ({ kind, spec }: Manifest) => {
    const selector =
      kind === 'Service' ? spec?.selector : (spec?.selector ?? spec?.podSelector)?.matchLabels;
    const found = kind === 'ServiceMonitor' ? services : pods;
    return selector !== undefined && !found.some((one) => fits(selector, one.metadata.labels));
  };
  return [
    ...(pods.length < 2 ? ['there are no pods'] : []),
    ...pods.flatMap(({ name, spec }) => looseEndsOf(spec).map((loose) => `${name} ${loose}`)),
    ...manifests.filter(isIdle).map(({ kind, metadata }) => `${kind} ${metadata.name} finds none`),
  ];
}
