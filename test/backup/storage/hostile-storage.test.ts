import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, afterEach, beforeAll, describe, expect, test } from '@jest/globals';
import { ANSWER_BOUNDS, PAGES_LIMIT } from '../../../src/backup/storage/answer-limits.ts';
import { createAzureStorage } from '../../../src/backup/storage/azure-storage.ts';
import { readWhole } from '../../../src/backup/storage/resumed-read.ts';
import { createS3Storage } from '../../../src/backup/storage/s3-storage.ts';
import type { BackupStorage } from '../../../src/core/recovery/full-backup/ports.ts';
import { createOneHostAgent } from '../../../src/network/one-host-agent.ts';
import { sasToken } from '../../support/blob-server.ts';
import { S3_CREDENTIALS } from '../../support/s3-server.ts';
import { contentOf, readAll } from '../../support/storage-contract.ts';

const MIB = 1024 ** 2;
const TOTAL_MS = 500;

type Behaviour = (request: IncomingMessage, response: ServerResponse) => void;

/** A host that somebody has named, and that means no good. */
let server: Server;
let origin: string;
let behave: Behaviour = () => undefined;
let targets: string[] = [];
let sentBytes = 0;
const opened: BackupStorage[] = [];
beforeAll(async () => {
  server = createServer((request, response) => {
    targets.push(`${request.method ?? ''} ${request.url ?? ''}`);
    request.resume();
    behave(request, response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
afterEach(async () => {
  await Promise.all(opened.splice(0).map((storage) => storage.close()));
  server.closeAllConnections();
  targets = [];
  sentBytes = 0;
});

const agent = () =>
  createOneHostAgent({
    origin,
    onlyPublic: false,
    idleMs: 5_000,
    connections: 4,
    answers: { ...ANSWER_BOUNDS, totalMs: TOTAL_MS, uploadMs: TOTAL_MS },
  });
const KINDS = {
  Azure: () =>
    createAzureStorage({
      origin,
      container: 'backups',
      prefix: [],
      token: sasToken(),
      agent: agent(),
      retryDelayMs: 1,
    }),
  S3: () =>
    createS3Storage({
      origin,
      region: 'eu-central-1',
      bucket: 'backups',
      prefix: [],
      credentials: S3_CREDENTIALS,
      agent: agent(),
    }),
};
type Kind = keyof typeof KINDS;
const BOTH: readonly Kind[] = ['Azure', 'S3'];

function open(kind: Kind): BackupStorage {
  const storage = KINDS[kind]();
  opened.push(storage);
  return storage;
}

/** Writes on for as long as somebody reads. */
function endless(response: ServerResponse, piece: Buffer): void {
  const more = () => {
    while (!response.destroyed && response.write(piece)) sentBytes += piece.length;
    response.once('drain', more);
  };
  more();
}

const ASKING: Readonly<Record<string, (storage: BackupStorage) => Promise<unknown>>> = {
  read: (storage) => readAll(storage, 'a/manifest.json'),
  write: (storage) => storage.write('a/manifest.json', contentOf('x')),
  list: (storage) => storage.listFolders('mhsm-'),
  remove: (storage) => storage.removeFolder('a'),
  claim: (storage) => storage.claimFolder('a'),
  check: (storage) => storage.check(),
};
const CASES = BOTH.flatMap((kind) => Object.keys(ASKING).map((ask) => [kind, ask] as const));

/** How it ends; it has to. */
async function endOf(kind: Kind, ask: string): Promise<unknown> {
  return (ASKING[ask] ?? (() => Promise.resolve('unknown')))(open(kind)).catch(
    (error: unknown) => error,
  );
}
const REFUSED = { code: expect.stringMatching(/^Storage(?:Refused|Unavailable)$/) };

describe('of a host that others name', () => {
  test.each(CASES)('%s: no error is read for ever (%s)', async (kind, ask) => {
    behave = (_request, response) => {
      response.writeHead(403, {
        'x-ms-error-code': 'AuthenticationFailed',
        'content-type': 'application/xml',
      });
      endless(response, Buffer.alloc(65_536, 65));
    };
    expect(await endOf(kind, ask)).toMatchObject(REFUSED);
    expect(sentBytes).toBeLessThan(40 * MIB);
  });

  test.each(BOTH.flatMap((kind) => ['list', 'remove'].map((ask) => [kind, ask] as const)))(
    '%s: no list is read for ever (%s)',
    async (kind, ask) => {
      behave = (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/xml' });
        endless(response, Buffer.from('<x>'.repeat(10_000)));
      };
      expect(await endOf(kind, ask)).toMatchObject(REFUSED);
      expect(sentBytes).toBeLessThan(40 * MIB);
    },
  );

  const pageOf = (kind: Kind, name: string, isFolder: boolean, next: number) => {
    const head = '<?xml version="1.0" encoding="utf-8"?>';
    if (kind === 'Azure')
      return `${head}<EnumerationResults><Blobs>${
        isFolder
          ? `<BlobPrefix><Name>${name}/</Name></BlobPrefix>`
          : `<Blob><Name>${name}</Name><Properties></Properties></Blob>`
      }</Blobs><NextMarker>next${next}</NextMarker></EnumerationResults>`;
    return `${head}<ListBucketResult><IsTruncated>true</IsTruncated>${
      isFolder
        ? `<CommonPrefixes><Prefix>${name}/</Prefix></CommonPrefixes>`
        : `<Contents><Key>${name}</Key></Contents>`
    }<NextContinuationToken>next${next}</NextContinuationToken></ListBucketResult>`;
  };

  test.each(BOTH.flatMap((kind) => ['list', 'remove'].map((ask) => [kind, ask] as const)))(
    '%s: no list goes on from page to page for ever (%s)',
    async (kind, ask) => {
      behave = ({ method, url = '' }, response) => {
        const isList = method === 'GET';
        const number = targets.length;
        const isDeletion = url.includes('delete');
        response.writeHead(method === 'DELETE' ? 202 : 200, { 'content-type': 'application/xml' });
        if (isList) response.end(pageOf(kind, `mhsm-${number}`, ask === 'list', number));
        else response.end(isDeletion ? '<DeleteResult/>' : '');
      };
      expect(await endOf(kind, ask)).toMatchObject({ code: 'StorageRefused' });
      const lists = targets.filter((target) => target.startsWith('GET')).length;
      expect(lists).toBeLessThanOrEqual(PAGES_LIMIT + 1);
    },
  );

  test.each(CASES)(
    '%s: no redirect is followed, on the same host either (%s)',
    async (kind, ask) => {
      behave = ({ url = '' }, response) => {
        const isThere = url.includes('elsewhere');
        response.writeHead(isThere ? 200 : 307, isThere ? {} : { location: `${origin}/elsewhere` });
        response.end();
      };
      expect(await endOf(kind, ask)).toMatchObject(REFUSED);
      expect(targets.filter((target) => target.includes('elsewhere'))).toEqual([]);
    },
  );

  test.each(CASES)('%s: nobody waits for as long as it says (%s)', async (kind, ask) => {
    behave = (_request, response) => {
      response.writeHead(503, { 'retry-after': '3600', 'x-ms-retry-after-ms': '3600000' });
      response.end();
    };
    const begin = performance.now();
    expect(await endOf(kind, ask)).toMatchObject(REFUSED);
    expect(performance.now() - begin).toBeLessThan(8_000);
  });

  test.each(BOTH.flatMap((kind) => ['list', 'check'].map((ask) => [kind, ask] as const)))(
    '%s: no answer in drops is waited for (%s)',
    async (kind, ask) => {
      behave = (_request, response) => {
        response.writeHead(200, { 'content-type': 'application/xml' });
        const dripping = setInterval(() => response.write(' '), 50);
        response.on('close', () => {
          clearInterval(dripping);
        });
      };
      const begin = performance.now();
      expect(await endOf(kind, ask)).toMatchObject(REFUSED);
      expect(performance.now() - begin).toBeLessThan(4 * TOTAL_MS + 4_000);
    },
  );
});

describe('an object that a storage gives in drops', () => {
  const PATIENCE = { leastMs: 200, bytesPerSecond: 1_000 };
  async function* drops(everyMs: number, count: number) {
    for (let drop = 0; drop < count; drop += 1) {
      await new Promise((resolve) => setTimeout(resolve, everyMs));
      yield Buffer.alloc(100);
    }
  }
  const reading = (everyMs: number, cutAfter: number) =>
    readWhole({
      place: 'https://storage.example/backups',
      patience: PATIENCE,
      isCut: () => true,
      download: () =>
        Promise.resolve({
          readableStreamBody: drops(everyMs, cutAfter) as unknown as NodeJS.ReadableStream,
          contentLength: 1_000,
        }),
    });
  const read = async (pieces: AsyncIterable<Uint8Array>, eachMs = 0) => {
    let bytes = 0;
    for await (const piece of pieces) {
      bytes += piece.length;
      await new Promise((resolve) => setTimeout(resolve, eachMs));
    }
    return bytes;
  };

  test.each([10, 1])('is given up, also where each connection gives %i of them', async (each) => {
    await expect(read(reading(150, each))).rejects.toMatchObject({
      code: 'StorageUnavailable',
      message: expect.stringContaining('too slowly'),
    });
  });

  test('is read where its reader is the slow one', async () => {
    expect(await read(reading(1, 10), 60)).toBe(1_000);
  });
});
