import { randomBytes } from 'node:crypto';
import type { Agent as PlainAgent } from 'node:http';
import type { Agent } from 'node:https';
import { Readable } from 'node:stream';
import {
  DeleteObjectCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  ListObjectsV2Command,
  type ListObjectsV2CommandOutput,
  PutObjectCommand,
  S3Client,
  S3ServiceException,
} from '@aws-sdk/client-s3';
import { Upload } from '@aws-sdk/lib-storage';
import { ServiceError } from '../../core/errors.ts';
import type { BackupStorage } from '../../core/recovery/full-backup/ports.ts';
import { claimByFile } from './folder-claim.ts';
import { readWhole } from './resumed-read.ts';
import { failureOf, writing } from './storage-failure.ts';
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

export interface S3StorageParts {
  /** `https://s3.eu-central-1.amazonaws.com`. */
  readonly origin: string;
  readonly region: string;
  readonly bucket: string;
  /** Folders below which everything lies; none where empty. */
  readonly prefix: readonly string[];
  /** Where absent, those that AWS's own clients would find. */
  readonly credentials?: { readonly accessKeyId: string; readonly secretAccessKey: string };
  /** Connects to the origin alone. */
  readonly agent: Agent | PlainAgent;
}

/** The least that S3 takes is 5 MiB, and 10,000 parts at most: 80 GB. A write holds some 32 MiB. */
const PART_BYTES = 8 * 1024 ** 2;
const PARTS_AT_ONCE = 3;
const MAX_TRIES = 4;

/** A bucket of S3, or of what speaks as it does, or a folder in one. */
export function createS3Storage(parts: S3StorageParts): BackupStorage {
  const { origin, region, bucket, prefix, credentials, agent } = parts;
  const place = [origin, bucket, ...prefix].join('/');
  const client = new S3Client({
    endpoint: origin,
    region,
    ...(credentials !== undefined && { credentials }),
    // Bucket names as host names would be other hosts than the one that is configured.
    forcePathStyle: true,
    maxAttempts: MAX_TRIES,
    // Others than Amazon's refuse checksums that they aren't asked for.
    requestChecksumCalculation: 'WHEN_REQUIRED',
    responseChecksumValidation: 'WHEN_REQUIRED',
    requestHandler: { httpsAgent: agent as Agent, httpAgent: agent },
  });
  const keyOf = (path: string) => [...prefix, ...partsOf(path)].join('/');
  const top = prefix.map((part) => `${part}/`).join('');

  async function asking<T>(ask: () => Promise<T>): Promise<T> {
    try {
      return await ask();
    } catch (error) {
      throw fromS3(place, error);
    }
  }

  async function* list(below: string, delimiter?: '/'): AsyncGenerator<ListObjectsV2CommandOutput> {
    const abortSignal = AbortSignal.timeout(LISTING_LIMIT_MS);
    let token: string | undefined;
    let pages = 0;
    do {
      pages += 1;
      if (pages > PAGES_LIMIT) throw tooManyPages(place);
      const page = await client.send(
        new ListObjectsV2Command({
          Bucket: bucket,
          Prefix: below,
          Delimiter: delimiter,
          ContinuationToken: token,
          MaxKeys: PAGE_ENTRIES,
        }),
        { abortSignal },
      );
      yield page;
      token = page.NextContinuationToken;
    } while (token !== undefined);
  }

  /** @returns false where there is one, as far as the server knows `If-None-Match` */
  async function writeNew(path: string, content: string): Promise<boolean> {
    const file = { Bucket: bucket, Key: keyOf(path), Body: content };
    try {
      await client.send(new PutObjectCommand({ ...file, IfNoneMatch: '*' }));
    } catch (error) {
      if (isKeyTaken(error)) return false;
      if (!isUnknownToServer(error)) throw fromS3(place, error);
      await asking(() => client.send(new PutObjectCommand(file)));
    }
    return true;
  }

  const storage: BackupStorage = {
    place,

    claimFolder: (folder) => claimByFile({ storage, writeNew }, folder),

    async write(path, given) {
      const content = watchContent(given);
      const params = {
        Bucket: bucket,
        Key: keyOf(path),
        Body: Readable.from(content, { objectMode: false }),
      };
      await writing(content, () =>
        asking(() =>
          // What isn't completed is aborted, so that no parts are kept (and paid for).
          new Upload({ client, params, partSize: PART_BYTES, queueSize: PARTS_AT_ONCE }).done(),
        ),
      );
    },

    async *read(path) {
      const key = keyOf(path);
      try {
        yield* readWhole({
          place,
          download: async (offset, etag) => {
            const answer = await client.send(
              new GetObjectCommand({
                Bucket: bucket,
                Key: key,
                ...(offset > 0 && { Range: `bytes=${offset}-` }),
                IfMatch: etag,
              }),
            );
            return {
              readableStreamBody: answer.Body as NodeJS.ReadableStream | undefined,
              contentLength: answer.ContentLength,
              etag: answer.ETag,
            };
          },
          isCut: (error) => !(error instanceof S3ServiceException),
        });
      } catch (error) {
        throw isKeyAbsent(error) ? backupNotFound(path, place) : fromS3(place, error);
      }
    },

    listFolders: (beginning) =>
      asking(async () => {
        const folders: string[] = [];
        for await (const { CommonPrefixes = [] } of list(`${top}${beginning}`, '/')) {
          if (folders.length + CommonPrefixes.length > STORAGE_LIMITS.folders)
            throw tooManyFolders(place);
          for (const { Prefix = '' } of CommonPrefixes) folders.push(Prefix.slice(top.length, -1));
        }
        return folders.sort();
      }),

    async removeFolder(folder) {
      const below = `${keyOf(folder)}/`;
      await asking(async () => {
        let files = 0;
        for await (const { Contents = [] } of list(below)) {
          if (Contents.length === 0) continue;
          files += Contents.length;
          if (files > STORAGE_LIMITS.files) throw tooManyFiles(folder, place);
          const { Errors = [] } = await client.send(
            new DeleteObjectsCommand({
              Bucket: bucket,
              Delete: { Objects: Contents.map(({ Key }) => ({ Key })), Quiet: true },
            }),
          );
          const [first] = Errors;
          if (first !== undefined) throw failureOf(place, first, { status: 403, code: first.Code });
        }
      });
    },

    check: () =>
      asking(async () => {
        const Key = `${top}.check-${randomBytes(6).toString('hex')}`;
        await client.send(new PutObjectCommand({ Bucket: bucket, Key, Body: 'Strongroom' }));
        await client.send(new DeleteObjectCommand({ Bucket: bucket, Key }));
      }),

    close: () => {
      client.destroy();
      agent.destroy();
      return Promise.resolve();
    },
  };
  return storage;
}

/** 412 where it is there, 409 where another write is at it. */
function isKeyTaken(error: unknown): boolean {
  return (
    error instanceof S3ServiceException &&
    (error.name === 'PreconditionFailed' || error.name === 'ConditionalRequestConflict')
  );
}

function isUnknownToServer(error: unknown): boolean {
  return error instanceof S3ServiceException && error.name === 'NotImplemented';
}

function isKeyAbsent(error: unknown): boolean {
  return error instanceof S3ServiceException && error.name === 'NoSuchKey';
}

function fromS3(place: string, error: unknown): unknown {
  if (error instanceof ServiceError) return error;
  if (error instanceof Error && error.name === 'CredentialsProviderError')
    return new ServiceError(
      'StorageRefused',
      `There are no credentials for ${place}: STRONGROOM_BACKUP_S3_CREDENTIALS_FILE names a file that holds them, or they are where AWS's own clients look.`,
    );
  if (error instanceof S3ServiceException)
    return failureOf(place, error, {
      status: error.$metadata.httpStatusCode,
      code: error.name,
    });
  return failureOf(place, error, { status: undefined, code: undefined });
}
