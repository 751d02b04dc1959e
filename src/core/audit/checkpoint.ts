import { createHash } from 'node:crypto';
import type { ChainHead, SignableHead } from './chain.ts';

/** What a checkpoint says. */
export interface CheckpointPayload {
  readonly pool: string;
  readonly number: number;
  /** Digest of the checkpoint before it; null in the first. */
  readonly previous: Uint8Array | null;
  readonly time: Date;
  readonly heads: readonly CountersignedHead[];
  readonly retention?: RetentionPayload;
}

/** What was taken from the audit log for its age. */
export interface RetentionPayload {
  /** Records made before that time. */
  readonly before: Date;
  /** How far chains were taken away. */
  readonly chains: readonly ChainHead[];
  /** The checkpoints up to that number, and the digest of the last of them. */
  readonly checkpoints?: { readonly number: number; readonly digest: Uint8Array };
}

/** `countersigned`: by a process that didn't write the chain, and signs what it found in the store; `adopted` in the payload. */
export type CountersignedHead = SignableHead & { readonly countersigned?: true };

/** A checkpoint as it is kept: a compact JWS, RS256. */
export interface Checkpoint {
  readonly number: number;
  readonly time: Date;
  readonly jws: string;
}

/** `typ` of the JWS header. */
export const CHECKPOINT_TYPE = 'strongroom-audit-checkpoint+jwt';

/** SHA-256 of a checkpoint's characters. */
export function digestOf(jws: string): Uint8Array {
  return createHash('sha256').update(jws).digest();
}

/** What a checkpoint says, from the JSON of its payload; undefined for what isn't one. */
export function parsePayload(payload: unknown): CheckpointPayload | undefined {
  try {
    return toPayload(payload as Json);
  } catch {
    return undefined;
  }
}

type Json = Readonly<Record<string, unknown>>;

function toPayload({ pool, number, previous, time, heads, retention }: Json): CheckpointPayload {
  return {
    pool: string(pool),
    number: natural(number),
    previous: previous === null ? null : digest(previous),
    time: date(time),
    heads: list(heads).map((head) => ({
      ...toHead(head),
      ends: head['ends'] === true,
      ...(head['adopted'] === true && { countersigned: true as const }),
    })),
    ...(retention !== undefined && { retention: toRetention(retention as Json) }),
  };
}

function toRetention({ before, chains, checkpoints }: Json): RetentionPayload {
  const { number, digest: last } = (checkpoints ?? {}) as Json;
  return {
    before: date(before),
    chains: list(chains).map(toHead),
    ...(checkpoints !== undefined && {
      checkpoints: { number: natural(number), digest: digest(last) },
    }),
  };
}

function toHead({ chain, sequence, hash }: Json): ChainHead {
  return { chain: string(chain), sequence: natural(sequence), hash: digest(hash) };
}

function string(value: unknown): string {
  if (typeof value !== 'string') throw new TypeError('not a string');
  return value;
}

function natural(value: unknown): number {
  if (!Number.isSafeInteger(value) || Number(value) < 1) throw new TypeError('not a number from 1');
  return Number(value);
}

function digest(value: unknown): Uint8Array {
  const bytes = Buffer.from(string(value), 'base64url');
  if (bytes.length !== 32) throw new TypeError('not 32 bytes');
  return bytes;
}

function date(value: unknown): Date {
  const read = new Date(string(value));
  if (Number.isNaN(read.getTime())) throw new TypeError('not a time');
  return read;
}

function list(value: unknown): readonly Json[] {
  if (!Array.isArray(value)) throw new TypeError('not a list');
  return value as Json[];
}

/** A checkpoint's payload, as JSON. */
export function serializePayload({ previous, heads, retention, ...rest }: CheckpointPayload) {
  return {
    ...rest,
    previous: previous && text(previous),
    heads: heads.map(({ countersigned, ...head }) => ({
      ...head,
      hash: text(head.hash),
      ...(countersigned === true && { adopted: true }),
    })),
    ...(retention !== undefined && {
      retention: {
        before: retention.before,
        chains: retention.chains.map((chain) => ({ ...chain, hash: text(chain.hash) })),
        ...(retention.checkpoints !== undefined && {
          checkpoints: {
            number: retention.checkpoints.number,
            digest: text(retention.checkpoints.digest),
          },
        }),
      },
    }),
  };
}

function text(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}
