import { randomBytes } from 'node:crypto';
import type { Agent } from 'node:http';
import { Readable } from 'node:stream';
import {
  AnonymousCredential,
  ContainerClient,
  newPipeline,
  type Pipeline,
  RestError,
  type WebResource,
} from '@azure/storage-blob';
import { ServiceError } from '../../core/errors.ts';
import type { BackupStorage } from '../../core/recovery/full-backup/ports.ts';
import { failureOf, writing } from './storage-failure.ts';
import { claimByFile } from './folder-claim.ts';
import { readWhole } from './resumed-read.ts';
import { partsOf } from '../../core/recovery/full-backup/storage-path.ts';
import { LISTING_LIMIT_MS, PAGE_ENTRIES, PAGES_LIMIT } from './answer-limits.ts';
import {
  backupNotFound,
  STORAGE_LIMITS,
  tooManyFiles,
  tooManyFolders,
  tooManyPages,
} from './storage-refusals.ts';
import { watchContent } from './watched-content.ts';

export interface AzureStorageParts {
  /** `https://account.blob.core.windows.net`. */
  readonly origin: string;
  readonly container: string;
  /** Folders below which everything lies; none where empty. */
  readonly prefix: readonly string[];
  /** A SAS token. */
  readonly token: string;
  /** Connects to the origin alone. */
  readonly agent: Agent;
  /** Before the second try; each further one waits longer. */
  readonly retryDelayMs: number;
}

/** A block: of so many at once, with one that is being filled, a write holds some 16 MiB. A blob has at most 50,000. */
const BLOCK_BYTES = 4 * 1024 ** 2;
const BLOCKS_AT_ONCE = 3;
const MAX_TRIES = 4;

/** A container of Azure Blob storage, or a folder in one, by a SAS token. */
export function createAzureStorage(parts: AzureStorageParts): BackupStorage {
  const { origin, container, prefix, token, agent, retryDelayMs } = parts;
  const place = [origin, container, ...prefix].join('/');
  const blobs = new ContainerClient(
    `${origin}/${container}?${token}`,
    pipelineOver(agent, retryDelayMs),
  );
  const nameOf = (path: string) => [...prefix, ...partsOf(path)].join('/');
  const top = prefix.map((part) => `${part}/`).join('');

  async function asking<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw fromAzure(place, error);
    }
  }

  const listing = () => AbortSignal.timeout(LISTING_LIMIT_MS);

  async function* bounded<Page>(pages: AsyncIterable<Page>): AsyncGenerator<Page> {
    let count = 0;
    for await (const page of pages) {
      count += 1;
      if (count > PAGES_LIMIT) throw tooManyPages(place);
      yield page;
    }
  }

  /** @returns false where there is one */
  async function writeNew(path: string, content: string): Promise<boolean> {
    const blob = blobs.getBlockBlobClient(nameOf(path));
    try {
      await blob.upload(content, content.length, { conditions: { ifNoneMatch: '*' } });
      return true;
    } catch (error) {
      if (isBlobTaken(error)) return false;
      throw fromAzure(place, error);
    }
  }

  const storage: BackupStorage = {
    place,

    claimFolder: (folder) => claimByFile({ storage, writeNew }, folder),

    async write(path, given) {
      const blob = blobs.getBlockBlobClient(nameOf(path));
      const content = watchContent(given);
      await writing(content, () =>
        asking(() =>
          blob.uploadStream(
            Readable.from(content, { objectMode: false }),
            BLOCK_BYTES,
            BLOCKS_AT_ONCE,
          ),
        ),
      );
    },

    async *read(path) {
      const blob = blobs.getBlobClient(nameOf(path));
      try {
        yield* readWhole({
          place,
          download: (offset, etag) =>
            blob.download(
              offset,
              undefined,
              etag === undefined ? {} : { conditions: { ifMatch: etag } },
            ),
          isCut: (error) => !(error instanceof RestError && error.statusCode !== undefined),
        });
      } catch (error) {
        throw isBlobAbsent(error) ? backupNotFound(path, place) : fromAzure(place, error);
      }
    },

    listFolders: (beginning) =>
      asking(async () => {
        const folders: string[] = [];
        const pages = blobs
          .listBlobsByHierarchy('/', { prefix: `${top}${beginning}`, abortSignal: listing() })
          .byPage({ maxPageSize: PAGE_ENTRIES });
        for await (const { segment } of bounded(pages))
          for (const { name } of segment.blobPrefixes ?? []) {
            if (folders.length === STORAGE_LIMITS.folders) throw tooManyFolders(place);
            folders.push(name.slice(top.length, -1));
          }
        return folders.sort();
      }),

    async removeFolder(folder) {
      const name = nameOf(folder);
      await asking(async () => {
        const abortSignal = listing();
        const pages = blobs
          .listBlobsFlat({ prefix: `${name}/`, abortSignal })
          .byPage({ maxPageSize: PAGE_ENTRIES });
        let files = 0;
        for await (const { segment } of bounded(pages)) {
          files += segment.blobItems.length;
          if (files > STORAGE_LIMITS.files) throw tooManyFiles(folder, place);
          // In their order: of a backup that is removed by half, the manifest is there to say whose it is.
          for (const { name: blob } of segment.blobItems)
            await blobs.getBlobClient(blob).deleteIfExists({ abortSignal });
        }
      });
    },

    check: () =>
      asking(async () => {
        const blob = blobs.getBlockBlobClient(`${top}.check-${randomBytes(6).toString('hex')}`);
        await blob.upload('Strongroom', 10);
        await blob.delete();
      }),

    close: () => {
      agent.destroy();
      return Promise.resolve();
    },
  };
  return storage;
}

/** Retries with limits; each request goes by the agent, whatever the environment says of proxies. */
function pipelineOver(agent: Agent, retryDelayInMs: number): Pipeline {
  const retryOptions = { maxTries: MAX_TRIES, retryDelayInMs };
  const pipeline = newPipeline(new AnonymousCredential(), { retryOptions });
  pipeline.factories.push({
    create: (next) => ({
      sendRequest: (request: WebResource) => next.sendRequest(Object.assign(request, { agent })),
    }),
  });
  return pipeline;
}

function isBlobTaken(error: unknown): boolean {
  return (
    error instanceof RestError &&
    (error.code === 'BlobAlreadyExists' || error.code === 'ConditionNotMet')
  );
}

function isBlobAbsent(error: unknown): boolean {
  return error instanceof RestError && error.code === 'BlobNotFound';
}

function fromAzure(place: string, error: unknown): unknown {
  if (error instanceof ServiceError) return error;
  if (error instanceof RestError)
    return failureOf(place, error, { status: error.statusCode, code: error.code });
  return failureOf(place, error, { status: undefined, code: undefined });
}
