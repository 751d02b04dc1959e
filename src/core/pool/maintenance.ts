import { AuditDraft } from '../audit/draft.ts';
import { ServiceError } from '../errors.ts';
import type { AgreedClock, Clock } from '../clock.ts';
import type { AuditLog } from '../audit/ports.ts';
import type { KeyWriter, RotationStore } from '../keys/ports.ts';
import type { RotationService } from '../keys/rotation/rotation-service.ts';
import { keyScope } from '../access/role.ts';
import type { TokenSigningKeys } from '../directory/token-signing-keys.ts';
import type { KeyVersion } from '../keys/key.ts';

/** What a pool's keepers are to hear of; types as Azure's Event Grid names them, shape as CloudEvents 1.0 has it. */
export interface KeyEvent {
  readonly type: 'Microsoft.KeyVault.KeyNearExpiry';
  readonly subject: string;
  readonly time: string;
  readonly data: {
    readonly ObjectType: 'Key';
    readonly ObjectName: string;
    readonly Version: string;
    /** Seconds since 1970-01-01 UTC; null where the date is not set. */
    readonly NBF: number | null;
    readonly EXP: number | null;
  };
}

export interface MaintenanceParts {
  readonly keys: Pick<KeyWriter, 'purgeExpiredKey'>;
  readonly rotations: Pick<RotationStore, 'claimDueRotation' | 'takeDueNotice'>;
  readonly rotation: Pick<RotationService, 'rotateDue'>;
  /** Of the pool that keeps its tenant's directory. */
  readonly signingKeys: Pick<TokenSigningKeys, 'rotateDue'> | undefined;
  readonly auditLog: AuditLog;
  readonly clock: Clock;
  readonly storeClock: AgreedClock;
  readonly newGuid: () => string;
  readonly onEvent: (event: KeyEvent) => void;
  /** One thing failed; it is tried again later. */
  readonly onError: (operation: string, error: unknown) => void;
}

/** What is done in one go at most; more is left for the next one, and for the other processes. */
const BATCH = 100;
/** The slowest key takes a minute to generate; who died over it is given up after this long. */
const CLAIM_SECONDS = 300;

/**
 * What a pool does by itself, whenever it is due: the purge of deleted keys after their retention, rotation, word of keys
 * that are to be renewed, and new keys for the directory to sign with. Any number of processes may do it at once: each thing is taken by one of them, and what
 * came due while none was running is done by the first that does.
 */
export function createMaintenance(parts: MaintenanceParts) {
  const { keys, rotations, rotation, signingKeys, auditLog, clock, newGuid, onEvent, onError } =
    parts;
  const draft = (operation: string) =>
    new AuditDraft(() => clock.now(), { requestId: newGuid(), operation });

  async function purgeExpired(): Promise<boolean> {
    const change = draft('KeyPurgeScheduled');
    change.succeedsWith(204);
    return (await keys.purgeExpiredKey(change)) !== undefined;
  }

  async function rotateDue(now: number): Promise<boolean> {
    const due = await rotations.claimDueRotation(now, now + CLAIM_SECONDS);
    if (due === undefined) return false;
    const change = draft('KeyRotateScheduled');
    const { name } = due.newest.material.identity;
    change.note({ keyName: name, scope: keyScope(name) });
    try {
      await rotation.rotateDue(due, change);
    } catch (error) {
      onError('rotation', error);
      const errorCode = error instanceof ServiceError ? error.code : 'RotationFailed';
      await auditLog.append(change.finish({ status: 500, errorCode }));
    }
    return true;
  }

  async function notifyDue(now: number): Promise<boolean> {
    const newest = await rotations.takeDueNotice(now, draft('KeyNearExpiry'));
    if (newest === undefined) return false;
    onEvent(nearExpiry(newest, clock.now()));
    return true;
  }

  const rotateSigningKey = () => signingKeys?.rotateDue(draft('SigningKeyRotateScheduled'));

  const steps = { purgeExpired, rotateDue, notifyDue, rotateSigningKey };
  return {
    /**
     * Does what is due now by the store's clock, as far as it fits in one go: a purge and a rotation can't be undone, so
     * nothing is due while the clocks disagree. Never rejects.
     */
    async runOnce(): Promise<void> {
      const time = await parts.storeClock.agreedTime().catch((error: unknown) => {
        onError('agreedTime', error);
        return undefined;
      });
      if (time === undefined) return;
      const now = Math.floor(time.getTime() / 1000);
      for (const [operation, step] of Object.entries(steps))
        try {
          for (let done = 0; done < BATCH && (await step(now)); done += 1);
        } catch (error) {
          onError(operation, error);
        }
    },
  };
}

function nearExpiry({ material, attributes }: KeyVersion, now: Date): KeyEvent {
  const { name, version } = material.identity;
  return {
    type: 'Microsoft.KeyVault.KeyNearExpiry',
    subject: name,
    time: now.toISOString(),
    data: {
      ObjectType: 'Key',
      ObjectName: name,
      Version: version,
      NBF: attributes.notBefore ?? null,
      EXP: attributes.expires ?? null,
    },
  };
}
