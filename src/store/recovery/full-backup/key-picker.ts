import type { KeyName, KeyVersion } from '../../../core/keys/key.ts';
import type { ArchivedRow } from '../../../core/recovery/full-backup/archive.ts';
import type { KeyPicker } from '../../../core/recovery/full-backup/pool-store.ts';
import { type NamedVersionRow, toKeyVersion } from '../../keys/key-rows.ts';
import { toRotationPolicy } from '../../keys/rotation-rows.ts';
import type { RotationPolicyRow } from '../../tables.ts';
import { fromJson } from './sealed-json.ts';

interface NamedRow extends Record<string, unknown> {
  readonly name_key?: string;
  readonly version?: string;
}

/** Picks one key's rows, which come in the order of ARCHIVED_TABLES: the key, its versions, its policy, their counts. */
export function createKeyPicker(name: KeyName): KeyPicker {
  const nameKey = name.toLowerCase();
  let spelling: string | undefined;
  let policy: RotationPolicyRow | undefined;
  const versions = new Map<string, { ordinal: number; version: KeyVersion; encryptions: number }>();

  function takeRow(table: string, row: NamedRow): boolean {
    if (table === 'gcm_use') {
      const entry = versions.get(row.version ?? '');
      if (entry !== undefined) entry.encryptions = Number(row['reserved']);
      return entry !== undefined;
    }
    if (row.name_key !== nameKey) return false;
    if (table === 'key') spelling = String(row['name']);
    else if (table === 'rotation_policy') policy = row as unknown as RotationPolicyRow;
    else
      versions.set(row.version ?? '', {
        ordinal: Number(row['ordinal']),
        version: toKeyVersion({
          ...fromJson(row),
          name: spelling,
        } as unknown as NamedVersionRow),
        encryptions: 0,
      });
    return true;
  }

  return {
    take: ({ table, json }: ArchivedRow) =>
      TABLES.has(table) && takeRow(table, JSON.parse(json) as NamedRow),
    key() {
      if (spelling === undefined || versions.size === 0) return undefined;
      return {
        name: spelling as KeyName,
        ...(policy !== undefined && { rotationPolicy: toRotationPolicy(policy) }),
        versions: [...versions.values()]
          .sort((a, b) => a.ordinal - b.ordinal)
          .map(({ version, encryptions }) => ({ version, encryptions })),
      };
    },
  };
}

const TABLES = new Set(['key', 'key_version', 'rotation_policy', 'gcm_use']);
