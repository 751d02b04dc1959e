import { type Kysely, sql } from 'kysely';
import type { ChainHead } from '../../../core/audit/chain.ts';
import type { InheritedLog } from '../../../core/recovery/full-backup/pool-store.ts';
import { toCertifiedMaterial } from '../../pool/certified-key-store.ts';
import { toCheckpoint } from '../../audit/checkpoint-store.ts';
import type { CertifiedKeyRow, Tables } from '../../tables.ts';

interface HeadRow {
  chain: string;
  sequence: string;
  hash: Buffer;
  isOpen: boolean;
}

/** Of the audit log among the rows that are set aside. */
export async function readInheritedLog(on: Kysely<Tables>): Promise<InheritedLog> {
  const newest = await sql<{ number: string; time: Date; statement: string }>`
    select v.number, v.time, v.statement
    from staged s cross join lateral jsonb_populate_record(null::audit_checkpoint, s.row) v
    where s.source = 'audit_checkpoint' order by v.number desc limit 1`.execute(on);
  const heads = await sql<HeadRow>`
    select c.row ->> 'chain' as chain, c.row ->> 'head_sequence' as sequence,
      decode(substring(c.row ->> 'head_hash' from 3), 'hex') as hash,
      not coalesce(signed.ends, false)
        and (c.row ->> 'head_sequence')::bigint > coalesce(signed.sequence, 0) as "isOpen"
    from staged c left join (
      select h.row ->> 'chain' as chain, max((h.row ->> 'sequence')::bigint) as sequence,
        bool_or((h.row ->> 'ends')::boolean) as ends
      from staged h where h.source = 'audit_checkpoint_head' group by 1) signed
      on signed.chain = c.row ->> 'chain'
    where c.source = 'audit_chain' and c.row ? 'head_sequence' order by c.n`.execute(on);
  const { rows: keys } = await sql<CertifiedKeyRow>`
    select v.* from staged s cross join lateral jsonb_populate_record(null::statement_key, s.row) v
    where s.source = 'statement_key' order by v.ordinal desc`.execute(on);
  return {
    newest: newest.rows[0] && toCheckpoint(newest.rows[0]),
    heads: heads.rows.map(toHead),
    open: heads.rows.filter(({ isOpen }) => isOpen).map(toHead),
    certifiedKeys: {
      findCertifiedKey: (purpose, version) => {
        const row = keys.find(
          (key) => key.purpose === purpose && (version === undefined || key.version === version),
        );
        return Promise.resolve(
          row && { purpose, material: toCertifiedMaterial(row), certificate: row.certificate },
        );
      },
    },
  };
}

function toHead({ chain, sequence, hash }: HeadRow): ChainHead {
  return { chain, sequence: Number(sequence), hash };
}
