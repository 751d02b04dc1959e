import { ServiceError } from '../errors.ts';
import type { KeyName } from '../keys/key.ts';

/** Where an assignment holds, and at what a request aims: the whole pool, all keys, or all versions of one key. */
export type Scope = '/' | '/keys' | `/keys/${string}`;

export interface RoleDefinition {
  /** GUID. */
  readonly id: string;
  readonly roleName: string;
  readonly description: string;
  readonly kind: 'built-in' | 'custom';
  readonly permissions: readonly Permission[];
  /** It can be assigned at these scopes and below. */
  readonly assignableScopes: readonly Scope[];
}

/** Actions as they were written, with wildcards; what is excluded is excluded from this permission alone. */
export interface Permission {
  readonly dataActions: readonly string[];
  readonly notDataActions: readonly string[];
}

export interface RoleAssignment {
  /** GUID, chosen by the client. */
  readonly id: string;
  readonly principalId: string;
  readonly roleDefinitionId: string;
  readonly scope: Scope;
  readonly description?: string;
  /** It holds until then; seconds since 1970-01-01 UTC. */
  readonly expiresOn?: number;
}

/** Managed HSM Administrator, the same GUID as in Azure. */
export const ADMINISTRATOR_ROLE = 'a290e904-7015-4bba-90c8-60543313cdb4';
export const CRYPTO_OFFICER_ROLE = '515eb02d-2335-4d2d-92f2-b1cbdf9c3778';
export const CRYPTO_USER_ROLE = '21dbd100-6940-42c2-9190-5d6cb909625b';

/** The scope of one key. Key names are compared without regard to case, so the scope is in lower case. */
export function keyScope(name: KeyName): Scope {
  return `/keys/${name.toLowerCase()}`;
}

/** The scopes at which an assignment covers a request aimed at `scope`, widest first: itself and all above it. */
export function coveringScopes(scope: Scope): readonly Scope[] {
  if (scope === '/') return ['/'];
  if (scope === '/keys') return ['/', '/keys'];
  return ['/', '/keys', scope];
}

/** Whether `scope` is `wider` itself or below it. */
export function isWithin(scope: Scope, wider: Scope): boolean {
  return coveringScopes(scope).includes(wider);
}

/** `/`, `/keys` or `/keys/{name}`, and undefined for any other text. */
export function parseScope(text: string): Scope | undefined {
  if (text === '/' || text === '/keys') return text;
  const name = /^\/keys\/([0-9a-zA-Z-]{1,127})$/.exec(text)?.[1];
  return name === undefined ? undefined : keyScope(name as KeyName);
}

/** Object ids are GUIDs in Entra ID; other issuers name principals in other ways, which all fit this. */
const PRINCIPAL_ID = /^[0-9A-Za-z][0-9A-Za-z._:@|-]{0,127}$/;

/** Principals are named without regard to case, be it a GUID or a name such as Alice@example.com: this is how they are kept. */
export function normalisePrincipalId(text: string): string {
  return text.toLowerCase();
}

/** @throws ServiceError BadParameter */
export function parsePrincipalId(text: string): string {
  if (!PRINCIPAL_ID.test(text))
    throw new ServiceError('BadParameter', 'Property principalId has an invalid value.');
  return normalisePrincipalId(text);
}
