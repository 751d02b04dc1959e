import { sql } from 'kysely';
import type { ObjectId } from '../../core/keys/objects/object-id.ts';
import type { PermitClaim } from '../../core/keys/objects/permit.ts';

/** What an intent says, as CLAIM_COLUMNS has it. */
export interface ClaimRow {
  readonly id: ObjectId;
  readonly name: string;
  readonly version: string;
  readonly permit: 'making' | 'removal' | null;
  readonly permitTime: string | null;
  readonly permitProof: Buffer | null;
  readonly wasKept: boolean;
  readonly now: string;
}

/** Of intent `i`. A row that was written for it has its witness, which the service's user can't take away. */
export const CLAIM_COLUMNS = sql`i.object_id as id, i.key_name as name, i.version, i.permit,
  i.permit_time as "permitTime", i.permit_proof as "permitProof",
  floor(extract(epoch from clock_timestamp()))::bigint as now,
  exists (
    select from audit_witness w where w.pool_id = i.pool_id and (
      w.source = 'key_version' and w.row_key = jsonb_build_array(lower(i.key_name), i.version)::text
      or w.source in ('signing_key', 'statement_key') and w.row_key = jsonb_build_array(i.version)::text)
  ) as "wasKept"`;

export function toClaim(row: ClaimRow): PermitClaim & { readonly id: ObjectId } {
  const { id, name, version, permit: kind, permitTime, permitProof, wasKept } = row;
  const now = Number(row.now);
  if (kind === null || permitTime === null || permitProof === null)
    return { id, permit: undefined, wasKept, now };
  const permit = { id, name, version, kind, time: Number(permitTime), proof: permitProof };
  return { id, permit, wasKept, now };
}
