import { timingSafeEqual } from 'node:crypto';
import type { KeyIdentity } from '../key.ts';
import type { ObjectId } from './object-id.ts';

/**
 * What may be said of an object, so that it may be destroyed. `making`: it is begun at that time, and nothing but its row
 * would tell of it. `removal`: its key is removed, or deleted, and it may go from that time on. Ids are never used again, so
 * a removal says the same for ever; what was in the making may be a key since.
 */
export interface ObjectStatement {
  readonly id: ObjectId;
  readonly name: string;
  readonly version: string;
  readonly kind: 'making' | 'removal';
  /** Seconds since 1970-01-01 UTC. */
  readonly time: number;
}

/** A statement with the HSM's HMAC over it. */
export interface ObjectPermit extends ObjectStatement {
  readonly proof: Uint8Array;
}

export interface ObjectProver {
  /** 32 bytes that this pool's root key alone gives. */
  proveObject(statement: ObjectStatement): Promise<Uint8Array>;
}

/** What the ledger says of an object that is to be destroyed, and what else is known of it. */
export interface PermitClaim {
  readonly permit: ObjectPermit | undefined;
  /** Whether the audit log witnesses a row of that version: then the key was made, and its making permits nothing. */
  readonly wasKept: boolean;
  /** By the store's clock, in seconds. */
  readonly now: number;
}

/** `forged`: somebody wrote it who isn't this pool's HSM, or put back one that has had its day. */
export type PermitVerdict = 'good' | 'early' | 'absent' | 'expired' | 'forged';

/** What has died over a key is mended by then, however long nobody was there to do it; later it is for people to decide. */
export const MAKING_PERMITS_SECONDS = 86_400;

/** Whether the object may be destroyed. */
export async function judgePermit(
  prover: ObjectProver,
  { permit, wasKept, now }: PermitClaim,
): Promise<PermitVerdict> {
  if (permit === undefined) return 'absent';
  const proof = await prover.proveObject(permit);
  if (proof.length !== permit.proof.length || !timingSafeEqual(proof, permit.proof))
    return 'forged';
  if (permit.kind === 'removal') return now < permit.time ? 'early' : 'good';
  if (wasKept) return 'forged';
  return now - permit.time > MAKING_PERMITS_SECONDS ? 'expired' : 'good';
}

export async function permit(
  prover: ObjectProver,
  objects: readonly ObjectId[],
  { name, version }: Pick<KeyIdentity, 'name' | 'version'>,
  what: Pick<ObjectStatement, 'kind' | 'time'>,
): Promise<ObjectPermit[]> {
  const permits = [];
  for (const id of objects) {
    const statement = { id, name, version, ...what };
    permits.push({ ...statement, proof: await prover.proveObject(statement) });
  }
  return permits;
}
