import { lookup } from 'node:dns/promises';
import { statfs } from 'node:fs/promises';
import { createServer } from 'node:net';
import type { Config } from '../../config/config.ts';
import { fault, type Finding, findings, ok, warning } from '../../core/diagnosis/finding.ts';
import { inWords } from '../../core/operator-error.ts';
import { openFileLimit, openFilesWarning } from '../../process/open-files.ts';

const GIB = 1024 ** 3;
/** Records of the audit log grow by a gigabyte for some million requests; an embedded database is in the same place. */
const LITTLE_DISK_GIB = 1;

/** Ports, open files, disk. */
export async function examineMachine(config: Config): Promise<readonly Finding[]> {
  const warningOfFiles = openFilesWarning(openFileLimit());
  return [
    ...(await examinePort('STRONGROOM_LISTEN', config.listen)),
    ...(config.metricsListen === undefined
      ? []
      : await examinePort('STRONGROOM_METRICS_LISTEN', config.metricsListen)),
    warningOfFiles === undefined
      ? ok('open files', `A process may have ${openFileLimit() ?? 'any number of'} files open.`)
      : warning('open files', warningOfFiles),
    ...(await examineDisk(config.dataFolder)),
  ];
}

/** How clients will find the pool. @param host of the pool, in the domain */
export async function examineNames(host: string): Promise<readonly Finding[]> {
  try {
    const addresses = await lookup(host, { all: true });
    return [
      ok(
        'resolution',
        `${host} resolves to ${addresses.map(({ address }) => address).join(', ')}.`,
      ),
    ];
  } catch (error) {
    return [
      warning(
        'resolution',
        `${host} does not resolve on this machine: ${inWords(error) ?? String(error)}. Clients must reach the pool by that name.`,
      ),
    ];
  }
}

async function examinePort(
  setting: string,
  { host, port }: Config['listen'],
): Promise<readonly Finding[]> {
  const place = `${host}:${port}`;
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', (error: NodeJS.ErrnoException) => {
      const words = inWords(error) ?? error.message;
      resolve([
        error.code === 'EADDRINUSE'
          ? warning('ports', `${setting}: ${place} is in use, by this service if it runs.`)
          : fault('ports', `${setting}: ${place} can't be listened on: ${words}.`),
      ]);
    });
    server.listen({ host, port }, () => {
      server.close(() => {
        resolve([ok('ports', `${setting}: ${place} is free.`)]);
      });
    });
  });
}

async function examineDisk(folder: string): Promise<readonly Finding[]> {
  return findings('disk', async () => {
    const place = await statfs(folder).catch(() => statfs('.'));
    const free = (place.bavail * place.bsize) / GIB;
    const sentence = `${free.toFixed(1)} GiB are free where STRONGROOM_DATA_DIR is.`;
    return [free < LITTLE_DISK_GIB ? warning('disk', sentence) : ok('disk', sentence)];
  });
}
