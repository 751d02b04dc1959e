import type { Witness } from './witness.ts';

declare const said: unique symbol;

/** A field as Postgres keeps it, and whether every record has it; `Value` is for the compiler alone. */
export interface Field<Value, Presence extends 'always' | 'maybe'> {
  readonly type: 'text' | 'uuid' | 'timestamptz' | 'integer' | 'double precision' | 'jsonb';
  readonly presence: Presence;
  readonly [said]?: Value;
}

function always<Value = string>(type: Field<Value, 'always'>['type']): Field<Value, 'always'> {
  return { type, presence: 'always' };
}

function maybe<Value = string>(
  type: Field<Value, 'maybe'>['type'] = 'text',
): Field<Value, 'maybe'> {
  return { type, presence: 'maybe' };
}

/**
 * Every field of an audit record, one line each; nothing else is ever written: no plaintext, ciphertext, digest, signature,
 * token or secret has a field to go to. The record's type, its draft, the bytes that its hash covers, the columns that keep
 * it and their type all come from this list. A new field is a line here and a column (`request_id` for `requestId`) added by
 * a file in sql/; records from before have null there, which is left out of what their hashes cover.
 */
export const RECORD_FIELDS = {
  /** When the record was made: the request began `durationMs` before. */
  time: always<Date>('timestamptz'),
  /** x-ms-request-id of the answer; a GUID. */
  requestId: always('uuid'),
  clientRequestId: maybe(),
  tenantId: maybe(),
  principalId: maybe(),
  applicationId: maybe(),
  principalName: maybe(),
  clientAddress: maybe(),
  userAgent: maybe(),
  /** What was asked for, such as KeySign or RoleAssignmentCreate. */
  operation: always('text'),
  /** The data action that it needed, such as Microsoft.KeyVault/managedHsm/keys/sign/action. */
  action: maybe(),
  scope: maybe(),
  keyName: maybe(),
  keyVersion: maybe(),
  algorithm: maybe(),
  outcome: always<'success' | 'failure'>('text'),
  status: always<number>('integer'),
  errorCode: maybe(),
  /** Why a credential was refused, or what else there is to say of a refusal: sentences of ours. */
  reason: maybe(),
  durationMs: always<number>('double precision'),
  /** For changes of keys, the directory and roles: what was before and after, and what went along. Never secrets. */
  change: maybe<RecordedChange>('jsonb'),
  /** For changes: the states of the rows that they changed, before and after. */
  witnessed: maybe<readonly Witness[]>('jsonb'),
} as const;

interface RecordedChange {
  readonly before?: unknown;
  readonly after?: unknown;
  /** Such as the role assignments of a principal that was removed. */
  readonly along?: unknown;
}

type Fields = typeof RECORD_FIELDS;
export type FieldName = keyof Fields;
type ValueOf<Name extends FieldName> =
  Fields[Name] extends Field<infer Value, 'always' | 'maybe'> ? Value : never;
type Having<Presence> = {
  [Name in FieldName]: Fields[Name]['presence'] extends Presence ? Name : never;
}[FieldName];

/** What every record says. */
export type AlwaysSaid = { readonly [Name in Having<'always'>]: ValueOf<Name> };
/** What a record says where it is known. */
export type MaybeSaid = { readonly [Name in Having<'maybe'>]?: ValueOf<Name> };

/** In the order of canonical JSON: by their UTF-16 code units (RFC 8785 §3.2.3), which is what sort() does. */
export const FIELD_NAMES = (Object.keys(RECORD_FIELDS) as FieldName[]).sort();

/** No field is said yet: all of them are there, so that records made of this have one form, in canonical order. */
export const UNSAID = Object.fromEntries(FIELD_NAMES.map((name) => [name, undefined])) as Readonly<
  Record<FieldName, undefined>
>;

type SnakeCase<Name extends string> = Name extends `${infer First}${infer Rest}`
  ? `${First extends Lowercase<First> ? First : `_${Lowercase<First>}`}${SnakeCase<Rest>}`
  : '';

/** The column that keeps a field: `request_id` for `requestId`. */
export function columnOf<Name extends FieldName>(name: Name): SnakeCase<Name> {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`) as SnakeCase<Name>;
}

/** A row's columns: null where a record doesn't say what it may say. */
export type FieldColumns = {
  [Name in FieldName as SnakeCase<Name>]: Fields[Name]['presence'] extends 'always'
    ? ValueOf<Name>
    : ValueOf<Name> | null;
};
