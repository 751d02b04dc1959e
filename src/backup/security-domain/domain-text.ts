import { z } from 'zod';
import { ServiceError } from '../../core/errors.ts';
import { CUSTODIANS, LEAST_REQUIRED } from '../../core/recovery/security-domain/quorum.ts';
import type { RestoreBlob } from '../../core/recovery/security-domain/restore-blob.ts';
import type { SecurityDomain } from '../../core/recovery/security-domain/security-domain.ts';

/** The texts in which Azure's clients keep and send a security domain. */
const KDF = 'sp108_kdf';
const SHARING = 'shamir_share';
const VERSION = 2;
const ENTRIES_LIMIT = 64;

const Thumbprint = z.string().regex(/^[\w-]{43}$/, 'it is no SHA-256 in base64url');
const WrappedKey = z.object({ enc_key: z.string(), x5t_256: Thumbprint });
const EncData = z.object({
  data: z
    .array(z.object({ compact_jwe: z.string(), tag: z.string().min(1).max(128) }))
    .min(1)
    .max(ENTRIES_LIMIT),
  kdf: z.literal(KDF),
});
const DomainText = z.object({
  EncData,
  SharedKeys: z.object({
    enc_shares: z.array(WrappedKey).min(LEAST_REQUIRED).max(CUSTODIANS.most),
    key_algorithm: z.literal(SHARING),
    required: z.int().min(LEAST_REQUIRED).max(CUSTODIANS.most),
  }),
  version: z.literal(VERSION),
});
const RestoreBlobText = z.object({ EncData, WrappedKey });
/** As the service's answer has it, if somebody kept that instead of what is in it. */
const Answer = z.strictObject({ value: z.string() });

export function formatDomain({ required, shares, entries }: SecurityDomain): string {
  return JSON.stringify({
    EncData: formatEntries(entries),
    SharedKeys: {
      enc_shares: shares.map(formatKey),
      key_algorithm: SHARING,
      required,
    },
    version: VERSION,
  } satisfies z.input<typeof DomainText>);
}

/** @throws ServiceError BadParameter with a sentence that names what is wrong in it */
export function parseDomain(text: string): SecurityDomain {
  return toDomain(readJson(text));
}

/** @throws ServiceError BadParameter with a sentence that names what is wrong in it */
export function parseRestoreBlob(text: string): RestoreBlob {
  return toRestoreBlob(readJson(text));
}

/** For a text that may be either. @throws ServiceError BadParameter */
export function parseDomainOrBlob(
  text: string,
): { readonly domain: SecurityDomain } | { readonly blob: RestoreBlob } {
  const json = readJson(text);
  return typeof json === 'object' && json !== null && 'WrappedKey' in json
    ? { blob: toRestoreBlob(json) }
    : { domain: toDomain(json) };
}

export function formatRestoreBlob({ entries, wrappedMaster }: RestoreBlob): string {
  return JSON.stringify({
    EncData: formatEntries(entries),
    WrappedKey: formatKey(wrappedMaster),
  } satisfies z.input<typeof RestoreBlobText>);
}

function toDomain(json: unknown): SecurityDomain {
  const { EncData, SharedKeys } = check(json, DomainText, 'security domain');
  const { enc_shares: shares, required } = SharedKeys;
  if (shares.length < required)
    throw new ServiceError(
      'BadParameter',
      `It is no whole security domain: ${required} shares are required to open it, and it has ${shares.length}.`,
    );
  return { required, shares: shares.map(parseKey), entries: parseEntries(EncData) };
}

function toRestoreBlob(json: unknown): RestoreBlob {
  const { EncData, WrappedKey } = check(json, RestoreBlobText, 'restore blob');
  return { wrappedMaster: parseKey(WrappedKey), entries: parseEntries(EncData) };
}

function readJson(text: string): unknown {
  try {
    const read: unknown = JSON.parse(text);
    const answer = Answer.safeParse(read);
    return answer.success ? JSON.parse(answer.data.value) : read;
  } catch {
    // The parser's own words quote the text.
    throw new ServiceError('BadParameter', 'It is no security domain: it is no JSON, or was cut.');
  }
}

function check<Shape extends z.ZodType>(json: unknown, shape: Shape, what: string) {
  const { data, error } = shape.safeParse(json);
  if (data !== undefined) return data;
  const [issue] = error?.issues ?? [];
  const place = issue?.path.join('.') ?? '';
  throw new ServiceError(
    'BadParameter',
    `It is no ${what}: ${place === '' ? '' : `${place}: `}${issue?.message ?? ''}.`,
  );
}

type Entries = SecurityDomain['entries'];
type SealedKey = RestoreBlob['wrappedMaster'];

function formatEntries(entries: Entries): z.input<typeof EncData> {
  return {
    data: entries.map(({ tag, envelope }) => ({ compact_jwe: envelope, tag })),
    kdf: KDF,
  };
}

function parseEntries({ data }: z.output<typeof EncData>): Entries {
  return data.map(({ compact_jwe: envelope, tag }) => ({ tag, envelope }));
}

function formatKey({ thumbprint, envelope }: SealedKey): z.input<typeof WrappedKey> {
  return { enc_key: envelope, x5t_256: thumbprint };
}

function parseKey({ x5t_256: thumbprint, enc_key: envelope }: z.output<typeof WrappedKey>) {
  return { thumbprint, envelope };
}
