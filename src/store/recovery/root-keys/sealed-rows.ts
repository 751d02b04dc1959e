import { sql } from 'kysely';
import type { StateChange } from '../../../core/caching/change-feed.ts';
import type { KeyMaterial } from '../../../core/keys/key.ts';
import { unpackBytes } from '../../../core/keys/packed-bytes.ts';
import type {
  Rewrapped,
  RootKeyStore,
  SealedTable,
} from '../../../core/recovery/root-keys/ports.ts';
import { fromPostgres } from '../../errors.ts';
import { notify, reading, type StoreContext, type Trx } from '../../database.ts';
import { toSigningMaterial } from '../../directory/token-signing-key-store.ts';
import { type NamedVersionRow, toKeyVersion } from '../../keys/key-rows.ts';
import { toCertifiedMaterial } from '../../pool/certified-key-store.ts';
import type {
  BackupKeysRow,
  CertifiedKeyRow,
  SigningKeyRow,
  TransferKeyRow,
} from '../../tables.ts';
import { toTransferMaterial } from '../security-domain/transfer-key-store.ts';
import { toBackupMaterial } from './backup-key-store.ts';

const MATERIALS = {
  backup_keys: (row) => toBackupMaterial(row as BackupKeysRow),
  signing_key: (row) => toSigningMaterial(row as SigningKeyRow),
  statement_key: (row) => toCertifiedMaterial(row as CertifiedKeyRow),
  transfer_key: (row) => toTransferMaterial(row as TransferKeyRow),
  key_version: (row) => toKeyVersion(row as NamedVersionRow).material,
} satisfies Record<SealedTable, (row: object) => KeyMaterial>;

/** What processes remember of a row. */
const TOPICS: Readonly<Record<SealedTable, StateChange['topic']>> = {
  backup_keys: 'root-keys',
  signing_key: 'signing-key',
  statement_key: 'root-keys',
  transfer_key: 'root-keys',
  key_version: 'key',
};

/** Rows that other root keys than the current ones have sealed. */
export function createSealedRows(
  context: StoreContext,
): Pick<RootKeyStore, 'listSealed' | 'replaceSealed'> {
  const { db, poolId, publish } = context;

  function listKeyVersions(after: KeyMaterial | undefined, limit: number) {
    const { name = '', version = '' } = after?.identity ?? {};
    return sql<NamedVersionRow>`
      select v.*, k.name from key_version v join key k using (pool_id, name_key)
      where v.pool_id = ${poolId} and (v.name_key, v.version) > (${name.toLowerCase()}, ${version})
        and v.root_generation <> (select root_generation from pool where id = ${poolId})
      order by v.name_key, v.version limit ${limit}`;
  }

  const listOthers = (table: SealedTable, after: KeyMaterial | undefined, limit: number) =>
    sql<object>`
      select r.* from ${sql.table(table)} r
      where r.pool_id = ${poolId} and r.version > ${after?.identity.version ?? ''}
        and r.root_generation <> (select root_generation from pool where id = ${poolId})
      order by r.version limit ${limit}`;

  return {
    listSealed: (table, after, limit) =>
      reading(context, async (on) => {
        const query =
          table === 'key_version' ? listKeyVersions(after, limit) : listOthers(table, after, limit);
        return (await query.execute(on)).rows.map(MATERIALS[table]);
      }),

    async replaceSealed(table, rows) {
      try {
        const names =
          table === 'key_version'
            ? [...new Set(rows.map(({ before }) => before.identity.name.toLowerCase()))].sort()
            : ['*'];
        const changes = names.map((id): StateChange => ({ topic: TOPICS[table], id }));
        const replaced = await db.transaction().execute(async (trx) => {
          if (table === 'key_version') await lockKeys(trx, poolId, names);
          const count = await replace(trx, poolId, table, rows);
          await notify(trx, poolId, changes);
          return count;
        });
        changes.forEach(publish);
        return replaced;
      } catch (error) {
        throw fromPostgres(error);
      }
    },
  };
}

/** As every change of a key begins: who changes one at the same moment has seen its seal, or sees it now. */
async function lockKeys(trx: Trx, poolId: string, names: readonly string[]): Promise<void> {
  await trx
    .selectFrom('key')
    .select('name_key')
    .where('pool_id', '=', poolId)
    .where('name_key', 'in', names)
    .orderBy('name_key')
    .forNoKeyUpdate()
    .execute();
}

/** A row whose seal is another by now has been changed, and is left alone. */
async function replace(
  trx: Trx,
  poolId: string,
  table: SealedTable,
  rows: readonly Rewrapped[],
): Promise<number> {
  const column = <Value>(read: (row: Rewrapped) => Value) => rows.map(read);
  const hasMac = table === 'key_version' || table === 'backup_keys';
  const { numAffectedRows = 0n } = await sql`
    update ${sql.table(table)} r
    set root_generation = n.generation, blob = n.blob, seal = n.seal
      ${hasMac ? sql`, mac_blob = n.mac_blob` : sql``}
    from unnest(
      ${column(({ before }) => before.identity.name.toLowerCase())}::text[],
      ${column(({ before }) => before.identity.version)}::text[],
      ${column(({ before }) => unpackBytes(before.sealed.seal))}::bytea[],
      ${column(({ after }) => after.sealed.rootGeneration)}::integer[],
      ${column(({ after }) => unpackBytes(after.sealed.blob))}::bytea[],
      ${column(({ after: { sealed } }) => (sealed.macBlob === undefined ? null : unpackBytes(sealed.macBlob)))}::bytea[],
      ${column(({ after }) => unpackBytes(after.sealed.seal))}::bytea[]
    ) as n (name_key, version, sealed_before, generation, blob, mac_blob, seal)
    where r.pool_id = ${poolId} and r.version = n.version and r.seal = n.sealed_before
      ${table === 'key_version' ? sql`and r.name_key = n.name_key` : sql``}`.execute(trx);
  return Number(numAffectedRows);
}
