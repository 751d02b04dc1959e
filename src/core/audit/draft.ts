import { type AuditedChange, type AuditRecord } from './record.ts';

/** What a record says of the request itself, and what is learned while it is served. */
type DraftFields = Omit<
  AuditRecord,
  'time' | 'outcome' | 'status' | 'errorCode' | 'durationMs' | 'witnessed'
>;

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
    const noted: Record<string, unknown> = notes;
    for (const name in noted) if (noted[name] !== undefined) fields[name] = noted[name];
    if (change !== undefined && notes.change !== undefined)
      this.#fields.change = { ...change, ...notes.change };
  }

  /** What is asked for, as far as it is known by now. */
  get operation(): string {
    return this.#fields.operation ?? '';
  }

  get principalId(): string | undefined {
    return this.#fields.principalId;
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
    const said = this.#fields;
    // Member by member: that gives objects of one form, and costs a third of copying what is there and cleaning it after.
    const record: AllOfRecord = {
      requestId: clean(said.requestId),
      clientRequestId: clean(said.clientRequestId),
      tenantId: clean(said.tenantId),
      principalId: clean(said.principalId),
      applicationId: clean(said.applicationId),
      principalName: clean(said.principalName),
      clientAddress: clean(said.clientAddress),
      userAgent: clean(said.userAgent),
      operation: clean(said.operation),
      action: clean(said.action),
      scope: clean(said.scope),
      keyName: clean(said.keyName),
      keyVersion: clean(said.keyVersion),
      algorithm: clean(said.algorithm),
      change: said.change,
      reason: clean(reason ?? said.reason),
      time,
      outcome: status < 400 ? 'success' : 'failure',
      status,
      errorCode,
      durationMs: Math.max(0, time.getTime() - this.#startedAt.getTime()),
    };
    return record as AuditRecord;
  }
}

/** All members, unknown ones too: where records go, a member that is undefined is as good as absent. */
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
/** What a change witnesses comes to its record where both are written. */
type Learned = Omit<AuditRecord, keyof Fields | 'witnessed'>;
type AllOfRecord = Fields & {
  readonly [Name in keyof Required<Learned>]: Learned[Name] | undefined;
};

/** The longest text from a caller that a record keeps. */
const TEXT_LIMIT = 256;
const CONTROL_CHARACTERS = /[\p{Cc}\p{Cs}\p{Bidi_Control}\u2028\u2029]/gu;

/** Almost every text: it needs no second look. */
const PRINTABLE_ASCII = /^[\x20-\x7e]*$/;

/** Texts come from callers: bounded, and without what could forge lines where the audit log is read, or what Postgres refuses. */
function clean<Text extends string | undefined>(text: Text): Text | string {
  return text === undefined ? text : cleanText(text);
}

function cleanText(text: string): string {
  const kept = text.length > TEXT_LIMIT ? text.slice(0, TEXT_LIMIT) : text;
  return PRINTABLE_ASCII.test(kept) ? kept : kept.replace(CONTROL_CHARACTERS, '?');
}
