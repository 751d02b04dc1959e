import { randomBytes } from 'node:crypto';
import { every } from '../core/repeating.ts';

/**
 * Sessions of TLS 1.2 that are resumed by a ticket are as secret as the key that it is encrypted by (RFC 9325 §3.4); they
 * live for five minutes, so nearly all outlast a change of it.
 */
const CHANGED_EVERY_MS = 3_600_000;
const BYTES = 48;

export interface TicketKeys {
  /** Those of now, in base64. */
  readonly current: string;
  stop(): void;
}

/** By which any worker process resumes the TLS sessions of any other: made anew every hour. */
export function createTicketKeys(
  onChange: (keys: string) => void,
  onError: (error: unknown) => void,
): TicketKeys {
  let current = newKeys();
  const timer = every(
    CHANGED_EVERY_MS,
    () => {
      current = newKeys();
      onChange(current);
    },
    onError,
  );
  return {
    get current() {
      return current;
    },
    stop: () => {
      clearInterval(timer);
    },
  };
}

function newKeys(): string {
  return randomBytes(BYTES).toString('base64');
}
