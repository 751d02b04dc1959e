import { type AuditRecord } from '../core/audit.ts';
import { ServiceError } from '../core/errors.ts';
import { type AuditTrail } from '../core/ports.ts';

export interface AuditTrailOptions {
  /**
   * Resolves once all of the records are durable. Where it rejects none is, except that with a ServiceError (the
   * connection went away meanwhile) they may be.
   */
  readonly sink: { write(records: readonly AuditRecord[]): Promise<void> };
  /** Records that may wait; more are refused at once, so that a flood can't fill the memory. */
  readonly queueLimit: number;
  /** Records written together, at most. */
  readonly batchLimit: number;
  /** How long a record may take to become durable before its request is given up. */
  readonly deadlineMs: number;
}

export interface OpenAuditTrail extends AuditTrail {
  readonly waiting: number;
  /** Waits until what was handed in is written or refused; no longer than a record's deadline. */
  close(): Promise<void>;
}

interface Waiting {
  readonly record: AuditRecord;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly deadline: NodeJS.Timeout;
}

/**
 * Group commit: while one write is under way the records that arrive wait, and go together in the next. It adapts to the
 * load by itself: alone, a record is written at once; under load, one commit serves hundreds. One write at a time keeps
 * the records in order.
 */
export function createAuditTrail(options: AuditTrailOptions): OpenAuditTrail {
  for (const limit of [options.queueLimit, options.batchLimit, options.deadlineMs])
    if (!Number.isInteger(limit) || limit < 1)
      throw new RangeError('the limits of an audit trail are whole numbers above zero');
  const queue: Waiting[] = [];
  let writing: Promise<void> | undefined;

  async function writeAll(): Promise<void> {
    while (queue.length > 0) await writeBatch(queue.splice(0, options.batchLimit));
    writing = undefined;
  }

  async function writeBatch(batch: readonly Waiting[]): Promise<void> {
    try {
      await options.sink.write(batch.map(({ record }) => record));
    } catch (error) {
      // One record that the store can't take must not refuse the others: it is found by halving, or the search itself
      // would hold up the trail. An unreachable store refuses them all, and none is tried again: it might stand twice.
      if (batch.length > 1 && !(error instanceof ServiceError)) {
        const middle = batch.length >> 1;
        await writeBatch(batch.slice(0, middle));
        await writeBatch(batch.slice(middle));
      } else
        for (const one of batch)
          settle(one, () => {
            one.reject(unavailable(error));
          });
      return;
    }
    for (const one of batch) settle(one, one.resolve);
  }

  return {
    append(record) {
      if (queue.length >= options.queueLimit)
        return Promise.reject(
          new ServiceError('AuditUnavailable', 'The audit trail is overloaded.'),
        );
      return new Promise((resolve, reject) => {
        queue.push({
          record,
          resolve,
          reject,
          // The record may still become durable afterwards: then the trail shows an operation whose answer was withheld.
          deadline: setTimeout(() => {
            reject(unavailable());
          }, options.deadlineMs),
        });
        writing ??= writeAll();
      });
    },
    get waiting() {
      return queue.length;
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const deadline = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, options.deadlineMs);
      });
      await Promise.race([writing, deadline]);
      clearTimeout(timer);
    },
  };
}

function settle({ deadline }: Waiting, how: () => void): void {
  clearTimeout(deadline);
  how();
}

function unavailable(cause?: unknown): ServiceError {
  return new ServiceError('AuditUnavailable', 'The audit trail cannot be written.', { cause });
}
