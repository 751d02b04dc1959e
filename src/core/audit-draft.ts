import { type AuditedChange, type AuditRecord } from './audit.ts';

/** What a record says of the request itself, and what is learned while it is served. */
type DraftFields = Omit<AuditRecord, 'time' | 'outcome' | 'status' | 'errorCode' | 'durationMs'>;

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
  readonly #fields: DraftFields;
  #successStatus = 200;
  #isCommitted = false;

  constructor(now: () => Date, fields: DraftFields) {
    this.#now = now;
    this.#startedAt = now();
    this.#fields = { ...fields };
  }

  note(notes: Partial<DraftFields>): void {
    const { change } = this.#fields;
    Object.assign(this.#fields, notes);
    if (change !== undefined && notes.change !== undefined)
      Object.assign(this.#fields, { change: { ...change, ...notes.change } });
  }

  /** What is asked for, as far as it is known by now. */
  get operation(): string {
    return this.#fields.operation;
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
    const now = this.#now();
    return {
      ...clean(this.#fields),
      time: now,
      outcome: status < 400 ? 'success' : 'failure',
      status,
      ...(errorCode !== undefined && { errorCode }),
      ...(reason !== undefined && { reason }),
      durationMs: Math.max(0, now.getTime() - this.#startedAt.getTime()),
    };
  }
}

/** The longest text from a caller that a record keeps. */
const TEXT_LIMIT = 256;
const CONTROL_CHARACTERS = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu;

/** Almost every text: it needs no second look. */
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/** Texts come from callers: bounded, and without what could forge lines where the trail is read, or what Postgres refuses. */
function clean(fields: DraftFields): DraftFields {
  const cleaned: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(fields))
    cleaned[name] = typeof value === 'string' ? cleanText(value) : value;
  return cleaned as unknown as DraftFields;
}

function cleanText(text: string): string {
  const kept = text.length > TEXT_LIMIT ? text.slice(0, TEXT_LIMIT) : text;
  return PRINTABLE_ASCII.test(kept) ? kept : kept.replace(CONTROL_CHARACTERS, '?');
}
