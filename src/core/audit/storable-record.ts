import type { AuditRecord } from './record.ts';
import { storableTextOf } from '../storable-text.ts';

/** What jsonb can't hold, as JSON.stringify writes it. */
const MAYBE_UNSTORABLE = /\\u(?:0000|d[89a-f])/;
/** Of a change as JSON, in characters: the largest that a request can bring, before and after, is a quarter of it. */
const CHANGE_LIMIT = 2 * 1024 * 1024;
const REPLACED = 'What could not be stored of this record has been replaced.';

/**
 * A record as the store takes it and gives it back: dates and the like in what changed are text there, and what it can't
 * hold is replaced, which the record says. Whoever writes a record can't be kept from it by a text that came along.
 */
export function toStorable(record: AuditRecord): AuditRecord {
  const { change } = record;
  if (change === undefined) return record;
  try {
    const text = JSON.stringify(change);
    if (text.length > CHANGE_LIMIT) return withReplaced(record, { omitted: 'It is too large.' });
    const plain = JSON.parse(text) as object;
    return MAYBE_UNSTORABLE.test(text) ? clean(record, plain) : { ...record, change: plain };
  } catch {
    return withReplaced(record, { omitted: 'It cannot be written as JSON.' });
  }
}

/** What is left to say of a record that the store refuses all the same: nothing in it can be refused for what it says. */
export function toStandIn(record: AuditRecord): AuditRecord {
  const { time, requestId, outcome, status, durationMs } = record;
  const { operation, principalId, clientAddress, scope, keyName, errorCode } = record;
  const texts = { operation, principalId, clientAddress, scope, keyName, errorCode };
  const kept = Object.entries(texts).flatMap(([name, text]) =>
    text === undefined ? [] : [[name, text.slice(0, 256).replace(/[^\x20-\x7e]/g, '?')]],
  );
  return {
    time: Number.isFinite(time.getTime()) ? time : new Date(0),
    requestId,
    outcome,
    status: Number.isSafeInteger(status) ? status : 500,
    durationMs: Number.isFinite(durationMs) ? durationMs : 0,
    ...(Object.fromEntries(kept) as { operation: string }),
    reason: 'The record could not be stored as it was: this one stands in its place.',
  };
}

function clean(record: AuditRecord, change: object): AuditRecord {
  let isReplaced = false as boolean;
  const cleanText = (text: string) => {
    const cleaned = storableTextOf(text);
    if (cleaned !== text) isReplaced = true;
    return cleaned;
  };
  const cleanValue = (value: unknown): unknown => {
    if (typeof value === 'string') return cleanText(value);
    if (typeof value !== 'object' || value === null) return value;
    if (Array.isArray(value)) return value.map(cleanValue);
    return Object.fromEntries(
      Object.entries(value).map(([name, member]) => [cleanText(name), cleanValue(member)]),
    );
  };
  const cleaned = cleanValue(change) as object;
  return isReplaced ? withReplaced(record, cleaned) : { ...record, change: cleaned };
}

function withReplaced(record: AuditRecord, change: object): AuditRecord {
  const reason = record.reason === undefined ? REPLACED : `${record.reason} ${REPLACED}`;
  return { ...record, reason, change };
}
