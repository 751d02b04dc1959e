import type { KeyMaterial } from '../../../core/keys/key.ts';
import { unpackBytes } from '../../../core/keys/packed-bytes.ts';
import type { ArchivedRow } from '../../../core/recovery/full-backup/archive.ts';
import type { SealedRow } from '../../../core/recovery/full-backup/pool-store.ts';
import { toSigningMaterial } from '../../directory/token-signing-key-store.ts';
import { type NamedVersionRow, toKeyVersion } from '../../keys/key-rows.ts';
import { toCertifiedMaterial } from '../../pool/certified-key-store.ts';
import type { CertifiedKeyRow, SigningKeyRow } from '../../tables.ts';

type Json = Record<string, unknown>;

/** Of the tables with sealed keys that go into backups. */
const MATERIALS: Readonly<Record<string, (row: object) => KeyMaterial>> = {
  signing_key: (row) => toSigningMaterial(row as SigningKeyRow),
  statement_key: (row) => toCertifiedMaterial(row as CertifiedKeyRow),
  key_version: (row) => toKeyVersion(row as NamedVersionRow).material,
};

const BYTES = ['public_1', 'public_2', 'blob', 'mac_blob', 'seal', 'certificate'];

/** Undefined for rows that hold no sealed key. */
export function openSealed({ table, json }: ArchivedRow): SealedRow | undefined {
  const toMaterial = MATERIALS[table];
  if (toMaterial === undefined) return undefined;
  const row = JSON.parse(json) as Json;
  return {
    material: toMaterial(fromJson(row)),
    sealedAs({ sealed: { rootGeneration, blob, macBlob, seal } }) {
      const changed: Json = {
        ...row,
        root_generation: rootGeneration,
        blob: toHex(unpackBytes(blob)),
        seal: toHex(unpackBytes(seal)),
        ...('mac_blob' in row && {
          mac_blob: macBlob === undefined ? null : toHex(unpackBytes(macBlob)),
        }),
      };
      return { table, json: JSON.stringify(changed) };
    },
  };
}

/** A row as the driver gives it, but for its times; seals cover keys' names in lower case. */
export function fromJson(row: Json): Json {
  const bytes = BYTES.flatMap((name) => {
    const value = row[name];
    return typeof value === 'string' ? [[name, Buffer.from(value.slice(2), 'hex')] as const] : [];
  });
  return { ...row, ...Object.fromEntries(bytes), name: row['name'] ?? row['name_key'] };
}

export function toHex(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes).toString('hex')}`;
}
