import type { AuditRecord } from '../core/audit/record.ts';
import { ServiceError } from '../core/errors.ts';
import type { AuditLog } from '../core/audit/ports.ts';
import { toStandIn } from '../core/audit/storable-record.ts';

export interface AuditLogOptions {
  /**
   * Resolves once all of the records are durable. Where it rejects none is, except that with a ServiceError (the
   * connection went away meanwhile) they may be.
   */
  readonly writer: { write(records: readonly AuditRecord[]): Promise<void> };
  /** Records that may wait; more are refused at once, so that a flood can't fill the memory. */
  readonly queueLimit: number;
  /** Records written together, at most. */
  readonly batchLimit: number;
  /** How long a record may take to become durable before its request is given up. */
  readonly deadlineMs: number;
  /** Requests under way, those whose records wait included: a write waits a moment for the records that are near. */
  readonly requestsUnderWay?: () => number;
}

export interface OpenAuditLog extends AuditLog {
  readonly waiting: number;
  /** Later records that were given up since there were too many: only where the store takes nothing for long. */
  readonly lost: number;
  /** Waits until what was handed in is written or refused, later records too; no longer than a record's deadline. */
  close(): Promise<void>;
}

interface Waiting {
  readonly record: AuditRecord;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
  readonly deadline: NodeJS.Timeout;
}

/** A write waits for others where at least so many more are under way, and about as long as the last one took. */
const GATHER = { siblings: 4, leastMs: 2, mostMs: 10 };
/** Between two tries to write what could not be written, while nothing else is. */
const RETRY_MS = 1_000;

/**
 * Group commit: while one write is under way the records that arrive wait, and go together in the next. It adapts to the
 * load by itself: alone, a record is written at once; under load, one commit serves hundreds. A commit can be quicker than
 * the HSM brings records, and would then serve one: so a write waits a moment where other requests are under way (as
 * PostgreSQL's commit_delay and commit_siblings do), a longer one where writes take longer. One write at a time keeps the
 * records in order.
 */
export function createAuditLog(options: AuditLogOptions): OpenAuditLog {
  for (const limit of [options.queueLimit, options.batchLimit, options.deadlineMs])
    if (!Number.isInteger(limit) || limit < 1)
      throw new RangeError('the limits of an audit log are whole numbers above zero');
  const underWay = options.requestsUnderWay ?? (() => 0);
  const queue: Waiting[] = [];
  const later: AuditRecord[] = [];
  let lost = 0;
  let lastWriteMs = 0;
  let retry: NodeJS.Timeout | undefined;
  let writing: Promise<void> | undefined;
  let stopGathering: (() => void) | undefined;

  /** What is told later, and isn't waiting for its next try. */
  const isLaterDue = () => later.length > 0 && retry === undefined;

  function start(): void {
    if (writing !== undefined || (queue.length === 0 && !isLaterDue())) return;
    writing = writeAll().finally(() => {
      writing = undefined;
      // What came while the last write ended.
      start();
    });
  }

  async function writeAll(): Promise<void> {
    while (queue.length > 0 || isLaterDue()) {
      if (isWorthWaiting(GATHER.siblings)) await gather();
      if (queue.length > 0) await writeBatch(queue.splice(0, options.batchLimit));
      if (isLaterDue()) await writeLater();
    }
  }

  function isWorthWaiting(siblings: number): boolean {
    const isRoom = queue.length > 0 && queue.length < options.batchLimit;
    return isRoom && underWay() >= queue.length + siblings;
  }

  /** Until all are there that are under way, or the moment is over. */
  async function gather(): Promise<void> {
    await new Promise<void>((resolve) => {
      const { leastMs, mostMs } = GATHER;
      const timer = setTimeout(resolve, Math.min(mostMs, Math.max(leastMs, lastWriteMs)));
      stopGathering = () => {
        clearTimeout(timer);
        resolve();
      };
    });
    stopGathering = undefined;
  }

  /** Where the store does not take them now they are tried again, however long it takes. */
  async function writeLater(): Promise<void> {
    const batch = later.slice(0, options.batchLimit);
    try {
      await options.writer.write(batch);
      later.splice(0, batch.length);
    } catch (error) {
      if (error instanceof ServiceError || !(await writeEach(batch.length)))
        retry = setTimeout(() => {
          retry = undefined;
          start();
        }, RETRY_MS).unref();
    }
  }

  /**
   * One that the store can't take would stand in the way of the others for ever.
   * @returns whether all are written
   */
  async function writeEach(count: number): Promise<boolean> {
    for (let done = 0; done < count; done += 1) {
      const [record] = later;
      if (record === undefined) break;
      try {
        await writeOne(record);
      } catch {
        return false;
      }
      later.shift();
    }
    return true;
  }

  /** Where the store refuses the record for what it says, another one stands in its place: no record is dropped. */
  async function writeOne(record: AuditRecord): Promise<void> {
    try {
      await options.writer.write([record]);
    } catch (error) {
      if (error instanceof ServiceError) throw error;
      await options.writer.write([toStandIn(record)]);
    }
  }

  async function writeBatch(batch: readonly Waiting[]): Promise<void> {
    const started = performance.now();
    const [first] = batch;
    try {
      if (batch.length === 1 && first !== undefined) await writeOne(first.record);
      else await options.writer.write(batch.map(({ record }) => record));
      lastWriteMs = performance.now() - started;
    } catch (error) {
      // One record that the store can't take must not refuse the others: it is found by halving, or the search itself
      // would hold up the audit log. An unreachable store refuses them all, and none is tried again: it might stand twice.
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
        return Promise.reject(new ServiceError('AuditUnavailable', 'The audit log is overloaded.'));
      return new Promise((resolve, reject) => {
        queue.push({
          record,
          resolve,
          reject,
          // The record may still become durable afterwards: then the audit log shows an operation whose answer was withheld.
          deadline: setTimeout(() => {
            reject(unavailable());
          }, options.deadlineMs),
        });
        if (!isWorthWaiting(1)) stopGathering?.();
        start();
      });
    },
    appendLater(record) {
      if (later.length >= options.queueLimit) {
        lost += 1;
        return;
      }
      later.push(record);
      start();
    },
    get lost() {
      return lost;
    },
    get waiting() {
      return queue.length;
    },
    async close() {
      // What waits for its next try has it now.
      clearTimeout(retry);
      retry = undefined;
      start();
      let timer: NodeJS.Timeout | undefined;
      const deadline = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, options.deadlineMs);
      });
      await Promise.race([writing, deadline]);
      clearTimeout(timer);
      clearTimeout(retry);
    },
  };
}

function settle({ deadline }: Waiting, how: () => void): void {
  clearTimeout(deadline);
  how();
}

function unavailable(cause?: unknown): ServiceError {
  return new ServiceError('AuditUnavailable', 'The audit log cannot be written.', { cause });
}
