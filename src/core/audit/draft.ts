import type { AuditedChange, AuditRecord } from './record.ts';
import { UNSAID } from './record-fields.ts';

/** What a record says of the request itself, and what is learned while it is served. */
type DraftFields = Omit<
  AuditRecord,
  'time' | 'outcome' | 'status' | 'errorCode' | 'durationMs' | 'witnessed'
>;

/** What is noted: what isn't known of it stays as it was. */
type Notes = { readonly [Name in keyof DraftFields]?: DraftFields[Name] | undefined };
/** All members, unknown ones too: where records go, a member that is undefined is as good as absent. */
type Fields = { -readonly [Name in keyof Required<AuditRecord>]: AuditRecord[Name] | undefined };

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
  /** As it came: who makes a change is decided by the whole of it. */
  #principalId: string | undefined;
  #successStatus = 200;
  #isCommitted = false;

  constructor(now: () => Date, fields: Notes & Pick<DraftFields, 'requestId' | 'operation'>) {
    this.#now = now;
    this.#startedAt = now();
    this.#fields = { ...UNSAID };
    this.note(fields);
  }

  note(notes: Notes): void {
    const { change } = this.#fields;
    const fields: Record<string, unknown> = this.#fields;
    const noted: Record<string, unknown> = notes;
    for (const name in noted) {
      const value = noted[name];
      if (value !== undefined) fields[name] = typeof value === 'string' ? clean(value) : value;
    }
    this.#principalId = notes.principalId ?? this.#principalId;
    if (change !== undefined && notes.change !== undefined)
      this.#fields.change = { ...change, ...notes.change };
  }

  /** What is asked for, as far as it is known by now. */
  get operation(): string {
    return this.#fields.operation ?? '';
  }

  get principalId(): string | undefined {
    return this.#principalId;
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
    const record: Fields = {
      ...this.#fields,
      time,
      outcome: status < 400 ? 'success' : 'failure',
      status,
      errorCode,
      durationMs: Math.max(0, time.getTime() - this.#startedAt.getTime()),
    };
    if (reason !== undefined) record.reason = clean(reason);
    return record as AuditRecord;
  }
}

/** The longest text from a caller that a record keeps. */
const TEXT_LIMIT = 256;
const CONTROL_CHARACTERS = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu;

/** Almost every text: it needs no second look. */
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/** Texts come from callers: bounded, and without what could forge lines where the audit log is read, or what Postgres refuses. */
function clean(text: string): string {
  const kept = text.length > TEXT_LIMIT ? text.slice(0, TEXT_LIMIT) : text;
  return PRINTABLE_ASCII.test(kept) ? kept : kept.replace(CONTROL_CHARACTERS, '?');
}
