import { createHmac, timingSafeEqual } from 'node:crypto';
import { z } from 'zod';
import type { KeyVersionId } from '../../core/keys/key.ts';
import type { ArchiveManifest } from '../../core/recovery/full-backup/archive.ts';

const FORMAT = 'strongroom-full-backup/1';
const count = z.int().min(0);
/** Names of pools, tables and files of the schema: they are told before it is known who has written them. */
const name = z.string().regex(/^[\w.-]{1,100}$/);

/** In this order: the file is the only one that its members can be written as. */
const Manifest = z.strictObject({
  format: z.literal(FORMAT),
  id: z.string().regex(/^[\w-]{43}$/),
  pool: z.strictObject({ id: z.guid(), name }),
  madeAt: z.iso.datetime(),
  backupKeys: z.string().regex(/^[0-9a-f]{32}$/),
  schema: z.strictObject({ newest: name, digest: z.string().regex(/^[0-9a-f]{64}$/) }),
  auditRecords: z.boolean(),
  madeBy: z
    .strictObject({
      askedBy: z.enum(['caller', 'operator', 'schedule']),
      job: z.string().regex(/^[0-9a-f]{32}$/),
    })
    .exactOptional(),
  rows: z.record(name, count),
  data: z.strictObject({ bytes: count, chunks: count, sha256: z.string().regex(/^[0-9a-f]{64}$/) }),
  mac: z.string().regex(/^[\w-]{43}$/),
});

type Content = Omit<z.infer<typeof Manifest>, 'mac'>;

/** The text of a manifest, with its HMAC-SHA256 as the last member. */
export function writeManifest(manifest: ArchiveManifest, key: Uint8Array): string {
  const { id, pool, madeAt, pair, schema, withAuditRecords, madeBy, rows, data } = manifest;
  const content: Content = {
    format: FORMAT,
    id,
    pool: { id: pool.id, name: pool.name },
    madeAt: madeAt.toISOString(),
    backupKeys: pair,
    schema: { newest: schema.newest, digest: schema.digest },
    auditRecords: withAuditRecords,
    ...(madeBy !== undefined && { madeBy: { askedBy: madeBy.askedBy, job: madeBy.job } }),
    rows: { ...rows },
    data: { bytes: data.bytes, chunks: data.chunks, sha256: data.sha256 },
  };
  return textOf(content, macOf(content, key));
}

/** What a text says, and whether it is what `writeManifest` gives for this key; undefined for what is no manifest. */
export function parseManifest(text: string) {
  const parsed = Manifest.safeParse(parseJson(text));
  if (!parsed.success) return undefined;
  const { mac, ...content } = parsed.data;
  const { id, pool, madeAt, backupKeys, schema, auditRecords, madeBy, rows, data } = content;
  const manifest: ArchiveManifest = {
    id,
    pool,
    madeAt: new Date(madeAt),
    pair: backupKeys as KeyVersionId,
    schema,
    withAuditRecords: auditRecords,
    ...(madeBy !== undefined && { madeBy }),
    rows,
    data,
  };
  return {
    manifest,
    isBy(key: Uint8Array): boolean {
      const expected = macOf(content, key);
      return isEqual(mac, expected) && text === textOf(content, expected);
    },
  };
}

/** Over the members as JSON without white space, in their order. */
function macOf(content: Content, key: Uint8Array): string {
  return createHmac('sha256', key).update(JSON.stringify(content)).digest('base64url');
}

function textOf(content: Content, mac: string): string {
  return `${JSON.stringify({ ...content, mac }, null, 2)}\n`;
}

function isEqual(text: string, expected: string): boolean {
  const [a, b] = [Buffer.from(text), Buffer.from(expected)];
  return a.length === b.length && timingSafeEqual(a, b);
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
