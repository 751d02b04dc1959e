import { placeOf } from '../core/address-place.ts';
import type { AuditRecord } from '../core/audit/record.ts';
import { AuditDraft } from '../core/audit/draft.ts';
import type { AuditLog } from '../core/audit/ports.ts';
import type { Clock } from '../core/clock.ts';
import { every } from '../core/repeating.ts';

/** Of one window, in each process. */
export interface RefusalLimits {
  /** Records of one address; of IPv6 its network of 64 bits. */
  readonly perAddress: number;
  /** Records of all addresses together. */
  readonly inAll: number;
  /** Addresses that are told apart; what comes from more is counted together. */
  readonly addresses: number;
  readonly windowMs: number;
}

export const REFUSAL_LIMITS: RefusalLimits = {
  perAddress: 30,
  inAll: 600,
  addresses: 200,
  windowMs: 60_000,
};

export interface RefusalLimit {
  /** Whether the refusal of somebody whom nobody knows gets a record of its own; where not, it is counted. */
  admit(record: AuditRecord): boolean;
  /** Writes what has been counted. */
  flush(): void;
  /** The same, for the last time. */
  close(): void;
}

interface Counted {
  count: number;
  readonly from: Date;
  last: AuditRecord;
}

interface Place {
  recorded: number;
  readonly counted: Map<string, Counted>;
}

const ELSEWHERE = 'other addresses';

/**
 * Strangers can't fill the disk: of each address the first refusals of a minute are recorded one by one, and the others
 * are counted, in one record for each operation at the minute's end. Callers whose credential was found good aren't counted:
 * each of their requests has its own record.
 */
export function createRefusalLimit(
  limits: RefusalLimits,
  {
    auditLog,
    clock,
    newGuid,
    onError,
  }: {
    readonly auditLog: Pick<AuditLog, 'appendLater'>;
    readonly clock: Clock;
    readonly newGuid: () => string;
    readonly onError: (error: unknown) => void;
  },
): RefusalLimit {
  let places = new Map<string, Place>();
  let recorded = 0;

  function placeFor(address: string | undefined): Place {
    const name = address === undefined ? ELSEWHERE : placeOf(address);
    const known = places.get(name);
    if (known !== undefined) return known;
    if (places.size >= limits.addresses && name !== ELSEWHERE) return placeFor(undefined);
    const place = { recorded: 0, counted: new Map<string, Counted>() };
    places.set(name, place);
    return place;
  }

  function flush(): void {
    const ended = places;
    places = new Map();
    recorded = 0;
    for (const [name, { counted }] of ended)
      for (const [operation, { count, from, last }] of counted) {
        const draft = new AuditDraft(() => clock.now(), {
          requestId: newGuid(),
          operation: 'RefusalsCounted',
          clientAddress: name,
          reason: `${String(count)} more refusals of this address, without records of their own.`,
          change: { after: { operation, count, from, to: last.time } },
        });
        const { status, errorCode } = last;
        auditLog.appendLater(
          draft.finish({ status, ...(errorCode !== undefined && { errorCode }) }),
        );
      }
  }

  const timer = every(limits.windowMs, flush, onError).unref();
  return {
    admit(record) {
      const place = placeFor(record.clientAddress);
      if (place.recorded < limits.perAddress && recorded < limits.inAll) {
        place.recorded += 1;
        recorded += 1;
        return true;
      }
      const counted = place.counted.get(record.operation);
      if (counted === undefined)
        place.counted.set(record.operation, { count: 1, from: record.time, last: record });
      else {
        counted.count += 1;
        counted.last = record;
      }
      return false;
    },
    flush,
    close() {
      clearInterval(timer);
      flush();
    },
  };
}
