import { ServiceError } from '../../errors.ts';
import type { KeyMaterial, KeyVersionId } from '../../keys/key.ts';
import { packBytes, unpackBytes } from '../../keys/packed-bytes.ts';
import type { DomainEntry } from '../security-domain/domain-entries.ts';
import { BACKUP_KEYS } from './backup-keys.ts';
import type { Voucher } from './ports.ts';
import type { WrappedRootKeys } from './root-key-hsm.ts';

/** What a security domain of this service holds. */
export interface DomainContents {
  readonly keys: WrappedRootKeys;
  /** The one-time key by which they are wrapped. */
  readonly by: Uint8Array;
  /** Sealed by the root keys, oldest first. */
  readonly backupKeys: readonly KeyMaterial[];
  /** What older root keys say of these, and of each other; none in domains of earlier versions. */
  readonly vouchers: readonly Voucher[];
}

/** Tags. `header`, `backup-keys` and `vouchers` are JSON; the others are bytes. */
const TAG = {
  header: 'strongroom-root-keys',
  by: 'strongroom-one-time-key',
  wrap: 'strongroom-root-wrap',
  seal: 'strongroom-root-seal',
  backupKeys: 'strongroom-backup-keys',
  vouchers: 'strongroom-vouchers',
} as const;

const FORMAT = 'strongroom root keys 1';
export const ONE_TIME_KEY_BYTES = 32;
const CHECK_BYTES = 32;
/** A wrapped key of 32 bytes, in whatever way it was wrapped. */
const WRAPPED_BYTES = { least: 40, most: 256 };
const MOST_PAIRS = 10_000;
const MOST_VOUCHERS = 100_000;
const POOL_ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const VERSION = /^[0-9a-f]{32}$/;
const MOST_GENERATION = 0x7fff_ffff;

export function writeEntries({
  keys,
  by,
  backupKeys,
  vouchers,
}: DomainContents): readonly DomainEntry[] {
  const { poolId, generation, rootCheck, wrapCheck } = keys;
  return [
    {
      tag: TAG.header,
      plaintext: json({
        format: FORMAT,
        poolId,
        generation,
        rootCheck: base64url(rootCheck),
        wrapCheck: base64url(wrapCheck),
      }),
    },
    { tag: TAG.by, plaintext: by },
    { tag: TAG.wrap, plaintext: keys.wrap },
    { tag: TAG.seal, plaintext: keys.seal },
    {
      tag: TAG.backupKeys,
      plaintext: json(
        backupKeys.map(({ identity: { version }, sealed: { blob, macBlob, seal } }) => ({
          version,
          blob: base64url(unpackBytes(blob)),
          ...(macBlob !== undefined && { macBlob: base64url(unpackBytes(macBlob)) }),
          seal: base64url(unpackBytes(seal)),
        })),
      ),
    },
    {
      tag: TAG.vouchers,
      plaintext: json(
        vouchers.map(({ by: older, generation: newer, proof }) => ({
          by: older,
          generation: newer,
          proof: base64url(proof),
        })),
      ),
    },
  ];
}

/** @throws ServiceError BadParameter for what writeEntries hasn't written; what is right in itself may still be no keys */
export function readEntries(entries: readonly DomainEntry[]): DomainContents {
  const header = readObject(plaintextOf(entries, TAG.header));
  const { format, poolId, generation } = header;
  if (
    format !== FORMAT ||
    typeof poolId !== 'string' ||
    !POOL_ID.test(poolId) ||
    typeof generation !== 'number' ||
    !(Number.isInteger(generation) && generation > 0 && generation <= MOST_GENERATION)
  )
    throw malformed();
  const by = plaintextOf(entries, TAG.by);
  if (by.length !== ONE_TIME_KEY_BYTES) throw malformed();
  return {
    keys: {
      poolId,
      generation,
      wrap: requireWrapped(plaintextOf(entries, TAG.wrap)),
      seal: requireWrapped(plaintextOf(entries, TAG.seal)),
      rootCheck: readBytes(header['rootCheck'], { least: CHECK_BYTES, most: CHECK_BYTES }),
      wrapCheck: readBytes(header['wrapCheck'], WRAPPED_BYTES),
    },
    by,
    backupKeys: readPairs(plaintextOf(entries, TAG.backupKeys), poolId, generation),
    vouchers: entries.some(({ tag }) => tag === TAG.vouchers)
      ? readVouchers(plaintextOf(entries, TAG.vouchers))
      : [],
  };
}

/**
 * Nobody says how many entries a domain has. Those of another product pass.
 * @throws ServiceError BadParameter for a domain of this service that lacks some, or holds what isn't its own
 */
export function requireWhole(entries: readonly DomainEntry[]): void {
  const isOurs = entries.some(({ tag }) => Object.values<string>(TAG).includes(tag));
  if (!isOurs) return;
  try {
    readEntries(entries);
  } catch (cause) {
    throw new ServiceError(
      'BadParameter',
      'The security domain is not whole: it was cut or altered, and no HSM would take it. Use another copy of it.',
      { cause },
    );
  }
}

function readPairs(plaintext: Uint8Array, pool: string, rootGeneration: number): KeyMaterial[] {
  const pairs = parse(plaintext);
  if (!Array.isArray(pairs) || pairs.length > MOST_PAIRS) throw malformed();
  return pairs.map((pair: unknown) => {
    const { version, blob, macBlob, seal } = asObject(pair);
    if (typeof version !== 'string' || !VERSION.test(version)) throw malformed();
    return {
      identity: { ...BACKUP_KEYS.identity, pool, version: version as KeyVersionId },
      spec: BACKUP_KEYS.spec,
      sealed: {
        rootGeneration,
        blob: packBytes(readBytes(blob, WRAPPED_BYTES)),
        macBlob: packBytes(readBytes(macBlob, WRAPPED_BYTES)),
        seal: packBytes(readBytes(seal, { least: CHECK_BYTES, most: CHECK_BYTES })),
      },
    };
  });
}

function readVouchers(plaintext: Uint8Array): Voucher[] {
  const vouchers = parse(plaintext);
  if (!Array.isArray(vouchers) || vouchers.length > MOST_VOUCHERS) throw malformed();
  return vouchers.map((voucher: unknown) => {
    const { by, generation, proof } = asObject(voucher);
    if (!Number.isInteger(by) || !Number.isInteger(generation)) throw malformed();
    return {
      by: Number(by),
      generation: Number(generation),
      proof: readBytes(proof, { least: CHECK_BYTES, most: CHECK_BYTES }),
    };
  });
}

function plaintextOf(entries: readonly DomainEntry[], tag: string): Uint8Array {
  const [found, another] = entries.filter((entry) => entry.tag === tag);
  if (found === undefined || another !== undefined) throw malformed();
  return found.plaintext;
}

function requireWrapped(bytes: Uint8Array): Uint8Array {
  if (bytes.length < WRAPPED_BYTES.least || bytes.length > WRAPPED_BYTES.most) throw malformed();
  return bytes;
}

function readBytes(
  text: unknown,
  { least, most }: { readonly least: number; readonly most: number },
): Buffer {
  if (typeof text !== 'string') throw malformed();
  const bytes = Buffer.from(text, 'base64url');
  if (bytes.length < least || bytes.length > most || base64url(bytes) !== text) throw malformed();
  return bytes;
}

function readObject(plaintext: Uint8Array): Record<string, unknown> {
  return asObject(parse(plaintext));
}

function asObject(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null) throw malformed();
  return value as Record<string, unknown>;
}

function parse(plaintext: Uint8Array): unknown {
  try {
    return JSON.parse(Buffer.from(plaintext).toString());
  } catch {
    throw malformed();
  }
}

function json(value: unknown): Uint8Array {
  return Buffer.from(JSON.stringify(value));
}

function base64url(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('base64url');
}

function malformed(): ServiceError {
  return new ServiceError(
    'BadParameter',
    'The security domain holds no root keys of this service: it is of another product or a later version.',
  );
}
