import { spawn, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import {
  BlobServiceClient,
  ContainerSASPermissions,
  generateBlobSASQueryParameters,
  StorageSharedKeyCredential,
} from '@azure/storage-blob';

/** The newest for Node 20. It takes 186 MB, so that it is no dependency. */
const PACKAGE = 'azurite@3.35.0';
const FOLDER = fileURLToPath(new URL('../../node_modules/.cache/azurite', import.meta.url));
const PROGRAM = `${FOLDER}/node_modules/azurite/dist/src/blob/main.js`;
const INSTALL_LIMIT_MS = 600_000;
const ACCOUNT = 'strongroom';
const LISTENS = /listens on http:\/\/127\.0\.0\.1:(?<port>\d+)/;

/** Installs Microsoft's emulator of Azure Blob storage below node_modules. @returns why there is none */
export function installAzurite(): string | undefined {
  if (existsSync(PROGRAM)) return undefined;
  const options = ['--no-save', '--no-audit', '--no-fund', '--prefix', FOLDER];
  const { status, stderr, error } = spawnSync('npm', ['install', ...options, PACKAGE], {
    encoding: 'utf8',
    timeout: INSTALL_LIMIT_MS,
  });
  return status === 0 ? undefined : `npm install ${PACKAGE}: ${error?.message ?? stderr}`;
}

export interface Azurite {
  /** `http://account.blob.localhost:port`: the account is in the host's name, as in Azure. */
  readonly origin: string;
  /** @returns a URL of the new container */
  makeContainer(name: string): Promise<string>;
  /** A SAS token by which a container is read, written and listed. */
  sasToken(container: string, expiry?: Date): string;
  /** Names of blobs. */
  list(container: string): Promise<string[]>;
  stop(): Promise<void>;
}

/** Starts it on a free port of this machine, with all that it holds in memory, and an account whose key nobody else knows. */
export async function startAzurite(): Promise<Azurite> {
  const key = randomBytes(32).toString('base64');
  const options = ['--blobPort', '0', '--inMemoryPersistence', '--silent', '--disableTelemetry'];
  // Our client library speaks a newer version of the API than it knows.
  options.push('--skipApiVersionCheck');
  const child = spawn(process.execPath, [PROGRAM, ...options], {
    env: { PATH: process.env['PATH'], AZURITE_ACCOUNTS: `${ACCOUNT}:${key}` },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const port = await new Promise<string>((resolve, reject) => {
    child.once('exit', () => {
      reject(new Error('Azurite ended before it listened'));
    });
    createInterface(child.stdout).on('line', (line) => {
      const found = LISTENS.exec(line)?.groups?.['port'];
      if (found !== undefined) resolve(found);
    });
  });
  const credential = new StorageSharedKeyCredential(ACCOUNT, key);
  // By its address: not every machine's resolver knows names below localhost.
  const client = new BlobServiceClient(`http://127.0.0.1:${port}/${ACCOUNT}`, credential);
  const origin = `http://${ACCOUNT}.blob.localhost:${port}`;
  return {
    origin,
    async makeContainer(name) {
      await client.createContainer(name);
      return `${origin}/${name}`;
    },
    sasToken: (containerName, expiresOn = new Date(Date.now() + 86_400_000)) =>
      generateBlobSASQueryParameters(
        { containerName, expiresOn, permissions: ContainerSASPermissions.parse('rcwdl') },
        credential,
      ).toString(),
    async list(container) {
      const names: string[] = [];
      for await (const { name } of client.getContainerClient(container).listBlobsFlat())
        names.push(name);
      return names;
    },
    async stop() {
      const exit = once(child, 'exit');
      child.kill('SIGTERM');
      await exit;
    },
  };
}
