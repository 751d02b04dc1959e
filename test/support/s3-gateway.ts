import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePort } from './free-port.ts';
import { until } from './until.ts';

/** A server of S3 over a folder, by others than Amazon and us: it verifies signatures, parts and checksums. */
const MODULE = 'github.com/versity/versitygw/cmd/versitygw@v1.8.0';
const FOLDER = fileURLToPath(new URL('../../node_modules/.cache/versitygw', import.meta.url));
const PROGRAM = join(FOLDER, 'versitygw');
const BUILD_LIMIT_MS = 900_000;

/** Has Go build it below node_modules. @returns why there is none */
export function installS3Gateway(): string | undefined {
  if (existsSync(PROGRAM)) return undefined;
  const { status, stderr, error } = spawnSync('go', ['install', MODULE], {
    env: { ...process.env, GOBIN: FOLDER },
    encoding: 'utf8',
    timeout: BUILD_LIMIT_MS,
  });
  return status === 0 ? undefined : `go install ${MODULE}: ${error?.message ?? stderr.trim()}`;
}

export interface S3Gateway {
  readonly origin: string;
  readonly region: string;
  readonly credentials: { readonly accessKeyId: string; readonly secretAccessKey: string };
  makeBucket(name: string): Promise<void>;
  stop(): Promise<void>;
}

/** Starts it on a free port of this machine, over a folder that it takes with it. */
export async function startS3Gateway(): Promise<S3Gateway> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-s3-'));
  const port = await freePort();
  const origin = `http://127.0.0.1:${port}`;
  const region = 'eu-central-1';
  const credentials = {
    accessKeyId: 'strongroom',
    secretAccessKey: randomBytes(30).toString('base64'),
  };
  const child = spawn(
    PROGRAM,
    ['--port', `127.0.0.1:${port}`, '--region', region, '--quiet', '--keep-alive', 'posix', folder],
    {
      env: {
        PATH: process.env['PATH'],
        ROOT_ACCESS_KEY: credentials.accessKeyId,
        ROOT_SECRET_KEY: credentials.secretAccessKey,
      },
      stdio: ['ignore', 'ignore', 'inherit'],
    },
  );
  const exit = once(child, 'exit');
  await until(() =>
    fetch(origin).then(
      () => true,
      () => false,
    ),
  );
  return {
    origin,
    region,
    credentials,
    makeBucket: (name) => mkdir(join(folder, name)).then(() => undefined),
    async stop() {
      child.kill('SIGTERM');
      await exit;
      await rm(folder, { recursive: true });
    },
  };
}
