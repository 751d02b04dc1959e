import { ServiceError } from '../errors.ts';
import { trimEnd } from '../trim-end.ts';

/**
 * Release policies, in the grammar 1.0.0 of Azure Key Vault: which attestation authority must say what about an
 * environment before a key is released to it. Whatever the grammar doesn't define is refused, never passed over: a
 * condition that goes unread would be a condition that always holds.
 * https://learn.microsoft.com/azure/key-vault/keys/policy-grammar
 */
export interface ReleasePolicy {
  readonly contentType: string;
  /** The policy as JSON text in our own spelling: members in alphabetical order, no white space, version 1.0.0. */
  readonly data: string;
  /** Once true, neither this nor the policy changes any more. */
  readonly immutable: boolean;
}

/** As it stands in a request; `data` is JSON in UTF-8. */
export interface RequestedReleasePolicy {
  readonly contentType?: string | undefined;
  readonly data: Uint8Array;
  readonly immutable?: boolean | undefined;
}

type Value = string | number | boolean;
type Condition =
  | { readonly claim: string; readonly equals: Value }
  | { readonly allOf: readonly Condition[] }
  | { readonly anyOf: readonly Condition[] };
type Rule = Condition & { readonly authority: string };
interface Grammar {
  readonly anyOf: readonly Rule[];
  readonly version: typeof VERSION;
}

const CONTENT_TYPE = 'application/json; charset=utf-8';
const VERSION = '1.0.0';
const VERSIONS = ['1.0', VERSION];
const LIMITS = { bytes: 16_384, authorities: 20, conditions: 200, depth: 8, name: 256, text: 1024 };

/** @throws ServiceError BadParameter with what is wrong */
export function parseReleasePolicy(requested: RequestedReleasePolicy): ReleasePolicy {
  const contentType = requested.contentType ?? CONTENT_TYPE;
  if (!/^application\/json(; ?charset=utf-8)?$/i.test(contentType))
    throw malformed(`'contentType' must be ${CONTENT_TYPE}`);
  if (requested.data.length > LIMITS.bytes)
    throw malformed(`the policy must have at most ${LIMITS.bytes} bytes`);
  return {
    contentType: CONTENT_TYPE,
    data: JSON.stringify(readGrammar(parseJson(requested.data))),
    immutable: requested.immutable ?? false,
  };
}

/**
 * The policy of a key that is being made: an exportable key must have one, and no other key can.
 * @param authorities that policies may name; any where absent
 * @throws ServiceError BadParameter
 */
export function releasePolicyOf(
  isExportable: boolean,
  requested: RequestedReleasePolicy | undefined,
  authorities: readonly string[] | undefined,
): ReleasePolicy | undefined {
  if (requested === undefined) {
    if (isExportable)
      throw new ServiceError('BadParameter', 'Exportable keys must have release policy');
    return undefined;
  }
  if (!isExportable)
    throw new ServiceError('BadParameter', 'Only exportable keys can have a release policy');
  const policy = parseReleasePolicy(requested);
  requireAuthorities(policy, authorities);
  return policy;
}

/**
 * The policy of a key after a change of it: the same policy again is no change, and an immutable one knows no other.
 * @throws ServiceError BadParameter
 */
export function changeReleasePolicy(
  current: ReleasePolicy | undefined,
  requested: RequestedReleasePolicy,
  authorities: readonly string[] | undefined,
): ReleasePolicy {
  if (current === undefined)
    throw new ServiceError('BadParameter', 'Only exportable keys can have a release policy');
  const policy = parseReleasePolicy({
    ...requested,
    immutable: requested.immutable ?? current.immutable,
  });
  if (policy.data === current.data && policy.immutable === current.immutable) return current;
  if (current.immutable) throw malformed('the policy is immutable');
  requireAuthorities(policy, authorities);
  return policy;
}

function requireAuthorities(policy: ReleasePolicy, allowed: readonly string[] | undefined): void {
  if (allowed === undefined) return;
  const isAllowed = (named: string) =>
    allowed.some((authority) => isSameAuthority(authority, named));
  if (!authoritiesOf(policy).every(isAllowed))
    throw malformed('an authority is not among those that this pool trusts');
}

/** The authorities that a policy names, as it spells them. */
export function authoritiesOf(policy: ReleasePolicy): readonly string[] {
  return (JSON.parse(policy.data) as Grammar).anyOf.map(({ authority }) => authority);
}

/**
 * Whether a policy is met by what an authority says.
 * @param authority of which the claims are known to be; compared as a URL, a slash at its end or none
 * @param claims of the authority's token, parsed from JSON
 */
export function isReleaseAllowed(
  policy: ReleasePolicy,
  authority: string,
  claims: Readonly<Record<string, unknown>>,
): boolean {
  return (JSON.parse(policy.data) as Grammar).anyOf.some(
    (rule) => isSameAuthority(rule.authority, authority) && isMet(rule, claims),
  );
}

/** Scheme and host without regard to case, a slash at the end or none. */
export function isSameAuthority(a: string, b: string): boolean {
  return URL.canParse(a) && URL.canParse(b) && bare(a) === bare(b);
}

function bare(authority: string): string {
  return trimEnd(new URL(authority).href, '/');
}

function isMet(condition: Condition, claims: Readonly<Record<string, unknown>>): boolean {
  if ('allOf' in condition) return condition.allOf.every((part) => isMet(part, claims));
  if ('anyOf' in condition) return condition.anyOf.some((part) => isMet(part, claims));
  return isEqual(condition.equals, claimOf(claims, condition.claim));
}

/** Dots walk through objects, and through nothing else. Undefined where there is no such claim. */
function claimOf(claims: unknown, path: string): unknown {
  let found = claims;
  for (const name of path.split('.')) {
    if (typeof found !== 'object' || found === null || Array.isArray(found)) return undefined;
    if (!Object.hasOwn(found, name)) return undefined;
    found = (found as Readonly<Record<string, unknown>>)[name];
  }
  return found;
}

/** Of the same type and value; and "true" and "false" in a policy stand for the JSON literals too, as in the live service. */
function isEqual(wanted: Value, found: unknown): boolean {
  if (typeof found === 'boolean' && typeof wanted === 'string') return wanted === String(found);
  // Beyond 2^53 two different numbers of a token may read as one.
  if (typeof found === 'number' && !isExact(found)) return false;
  return wanted === found;
}

function parseJson(data: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(data));
  } catch {
    throw malformed('the policy is not JSON in UTF-8');
  }
}

function readGrammar(policy: unknown): Grammar {
  const members = membersOf(policy, 'the policy');
  const { anyOf, version } = members;
  if (version === undefined) throw malformed("missing 'version' property");
  if (typeof version !== 'string' || !VERSIONS.includes(version))
    throw malformed(`'version' must be ${VERSION}`);
  requireOnly(members, ['anyOf', 'version'], 'the policy');
  const budget = { conditions: LIMITS.conditions };
  return { anyOf: listOf(anyOf, 'anyOf', LIMITS.authorities, readRule(budget)), version: VERSION };
}

const readRule =
  (budget: { conditions: number }) =>
  (rule: unknown): Rule => {
    const { authority, ...rest } = membersOf(rule, "a member of 'anyOf'");
    if (typeof authority !== 'string' || !isAuthority(authority))
      throw malformed(
        "'authority' must be an https URL without user, query and fragment, and each member of 'anyOf' must have one",
      );
    if (!('allOf' in rest || 'anyOf' in rest))
      throw malformed("an authority must have 'allOf' or 'anyOf'");
    return { ...readCondition(rest, 1, budget), authority };
  };

function readCondition(
  condition: unknown,
  depth: number,
  budget: { conditions: number },
): Condition {
  const members = membersOf(condition, 'a condition');
  if (depth > LIMITS.depth) throw malformed(`conditions must be at most ${LIMITS.depth} deep`);
  budget.conditions -= 1;
  if (budget.conditions < 0)
    throw malformed(`a policy must have at most ${LIMITS.conditions} conditions`);
  const inner = (part: unknown) => readCondition(part, depth + 1, budget);
  if ('allOf' in members || 'anyOf' in members) {
    const name = 'allOf' in members ? 'allOf' : 'anyOf';
    requireOnly(members, [name], `what has '${name}'`);
    const parts = listOf(members[name], name, LIMITS.conditions, inner);
    return name === 'allOf' ? { allOf: parts } : { anyOf: parts };
  }
  requireOnly(members, ['claim', 'equals'], 'a condition');
  const { claim, equals } = members;
  if (
    typeof claim !== 'string' ||
    claim.length > LIMITS.name ||
    claim.split('.').some((name) => name === '')
  )
    throw malformed("'claim' must name a claim, with dots between the names of nested ones");
  if (!isValue(equals))
    throw malformed(
      `'equals' must be true, false, a number that JSON keeps exactly, or text of at most ${LIMITS.text} characters`,
    );
  return { claim, equals };
}

function isValue(value: unknown): value is Value {
  if (typeof value === 'string') return value.length <= LIMITS.text;
  return typeof value === 'boolean' || (typeof value === 'number' && isExact(value));
}

function isExact(value: number): boolean {
  return Number.isSafeInteger(value) || (Number.isFinite(value) && !Number.isInteger(value));
}

function isAuthority(text: string): boolean {
  if (text.length > LIMITS.text || !URL.canParse(text) || /[?#\s]/.test(text)) return false;
  const { protocol, username, password } = new URL(text);
  return protocol === 'https:' && username === '' && password === '';
}

function membersOf(value: unknown, what: string): Readonly<Record<string, unknown>> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw malformed(`${what} must be an object`);
  return value as Readonly<Record<string, unknown>>;
}

function requireOnly(
  members: Readonly<Record<string, unknown>>,
  allowed: readonly string[],
  what: string,
): void {
  if (Object.keys(members).some((name) => !allowed.includes(name)))
    throw malformed(`${what} may hold nothing but ${allowed.join(' and ')}`);
}

/** An empty list has no meaning that everybody would guess alike: all of nothing holds always. */
function listOf<T>(
  value: unknown,
  what: string,
  limit: number,
  read: (item: unknown) => T,
): readonly T[] {
  if (!Array.isArray(value) || value.length === 0 || value.length > limit)
    throw malformed(`'${what}' must be a list of 1 to ${limit}`);
  return value.map(read);
}

function malformed(what: string): ServiceError {
  return new ServiceError('BadParameter', `Key Release Policy: ${what}`);
}
