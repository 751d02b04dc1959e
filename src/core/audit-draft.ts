import { type AuditedChange, type AuditRecord } from './audit.ts';

/** What a record says of the request itself, and what is learned while it is served. */
type DraftFields = Omit<AuditRecord, 'time' | 'outcome' | 'status' | 'errorCode' | 'durationMs'>;

/** What is noted: what isn't known of it stays as it was. */
type Notes = { readonly [Name in keyof DraftFields]?: DraftFields[Name] | undefined };
type Fields = { -readonly [Name in keyof Required<DraftFields>]: DraftFields[Name] | undefined };

interface Ending {
  readonly status: number;
  readonly errorCode?: string;
  readonly reason?: string;
}

/**
 * The audit record of one request while it is being served: fields come in as they become known, and the record is made
 * once, either with a change of state in its transaction or when the answer is ready.
 */
export class AuditDraft implements AuditedChange {
  readonly #now: () => Date;
  readonly #startedAt: Date;
  readonly #fields: Fields;
  #successStatus = 200;
  #isCommitted = false;

  constructor(now: () => Date, fields: DraftFields) {
    this.#now = now;
    this.#startedAt = now();
    this.#fields = { ...UNKNOWN };
    this.note(fields);
  }

  note(notes: Notes): void {
    const { change } = this.#fields;
    const fields: Record<string, unknown> = this.#fields;
    for (const [name, value] of Object.entries(notes))
      if (value !== undefined) fields[name] = value;
    if (change !== undefined && notes.change !== undefined)
      this.#fields.change = { ...change, ...notes.change };
  }

  /** What is asked for, as far as it is known by now. */
  get operation(): string {
    return this.#fields.operation ?? '';
  }

  /** The record of success, with the status that the answer will have. */
  toRecord(): AuditRecord {
    return this.finish({ status: this.#successStatus });
  }

  /** The status that the answer will have if all goes well; 200 where nobody says. */
  succeedsWith(status: number): void {
    this.#successStatus = status;
  }

  committed(): void {
    this.#isCommitted = true;
  }

  /** Whether the record is durable already, together with the change that it tells of. */
  get isCommitted(): boolean {
    return this.#isCommitted;
  }

  finish({ status, errorCode, reason }: Ending): AuditRecord {
    const time = this.#now();
    const record: AllOfRecord = {
      ...this.#fields,
      time,
      outcome: status < 400 ? 'success' : 'failure',
      status,
      durationMs: Math.max(0, time.getTime() - this.#startedAt.getTime()),
    };
    if (errorCode !== undefined) record.errorCode = errorCode;
    if (reason !== undefined) record.reason = reason;
    clean(record);
    return record as AuditRecord;
  }
}

/**
 * All members, unknown ones too, always in this order: with objects of one form what is done with records of every
 * operation costs a third. Where records go, a member that is undefined is as good as absent.
 */
const UNKNOWN: Fields = {
  requestId: undefined,
  clientRequestId: undefined,
  tenantId: undefined,
  principalId: undefined,
  applicationId: undefined,
  principalName: undefined,
  clientAddress: undefined,
  userAgent: undefined,
  operation: undefined,
  action: undefined,
  scope: undefined,
  keyName: undefined,
  keyVersion: undefined,
  algorithm: undefined,
  change: undefined,
  reason: undefined,
};
type Learned = Omit<AuditRecord, keyof Fields>;
type AllOfRecord = Fields & { -readonly [Name in keyof Learned]: Learned[Name] };

/** The longest text from a caller that a record keeps. */
const TEXT_LIMIT = 256;
const CONTROL_CHARACTERS = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu;

/** Almost every text: it needs no second look. */
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/** Texts come from callers: bounded, and without what could forge lines where the trail is read, or what Postgres refuses. */
function clean(record: AllOfRecord): void {
  const members: Record<string, unknown> = record;
  for (const name of TEXTS) {
    const value = members[name];
    if (typeof value === 'string') members[name] = cleanText(value);
  }
}

const TEXTS = Object.keys(UNKNOWN);

function cleanText(text: string): string {
  const kept = text.length > TEXT_LIMIT ? text.slice(0, TEXT_LIMIT) : text;
  return PRINTABLE_ASCII.test(kept) ? kept : kept.replace(CONTROL_CHARACTERS, '?');
}
