/** The built-in directory, in the words of Microsoft Graph. */
export interface Application {
  /** Object id of the application. */
  readonly id: string;
  /** The client id that callers sign in with. */
  readonly appId: string;
  readonly displayName: string;
  readonly createdAt: Date;
}

/** What the entries of a list can be asked for, in Graph's words; each kind of entry has some of these. */
export type DirectoryProperty =
  | 'id'
  | 'appId'
  | 'displayName'
  | 'identifierUris'
  | 'accountEnabled'
  | 'userPrincipalName'
  | 'mailNickname'
  | 'mailEnabled'
  | 'securityEnabled';

export interface DirectoryCondition {
  readonly property: DirectoryProperty;
  /** Of a collection, `eq` asks whether it holds the value. */
  readonly operator: 'eq' | 'startsWith';
  readonly value: string | boolean;
}

/** Which entries are listed: those that meet all of it. */
export type DirectoryFilter = readonly DirectoryCondition[];

export interface ServicePrincipal {
  /** Object id: what role assignments name. */
  readonly id: string;
  readonly appId: string;
  readonly displayName: string;
  readonly enabled: boolean;
}

/** A client secret as it is kept: only its salted slow hash. */
export interface PasswordCredential {
  readonly keyId: string;
  readonly displayName?: string;
  /** Three characters of it, so that people can tell their secrets apart. */
  readonly hint: string;
  readonly hash: string;
  readonly startsAt: Date;
  readonly endsAt: Date;
}

/** Secrets begin with a prefix that is the same for all; the hint comes after it. */
const HINT = { from: 4, to: 7 };

export function hintOf(secret: string): string {
  return secret.slice(HINT.from, HINT.to);
}

/** A certificate that an application signs in with (Graph's keyCredentials). It is public. */
export interface CertificateCredential {
  readonly keyId: string;
  readonly displayName?: string;
  /** DER (RFC 5280). */
  readonly certificate: Uint8Array;
  /** SHA-256 of the DER, as `x5t#S256` has it before its encoding (RFC 7515 §4.1.8). */
  readonly thumbprint: Uint8Array;
  readonly startsAt: Date;
  readonly endsAt: Date;
}

/** Whose tokens stand for an application: those of this issuer with this subject and audience. */
export interface FederatedCredential {
  readonly id: string;
  readonly name: string;
  readonly issuer: string;
  readonly subject: string;
  readonly audience: string;
  readonly description?: string;
}

/** Who a user is to an external issuer. */
export interface UserIdentity {
  readonly issuer: string;
  /** The value of the claim that names principals in that issuer's tokens. */
  readonly subject: string;
}

export interface User {
  readonly id: string;
  readonly displayName: string;
  readonly userPrincipalName: string;
  readonly mailNickname?: string;
  readonly enabled: boolean;
  readonly identities: readonly UserIdentity[];
}

export interface Group {
  readonly id: string;
  readonly displayName: string;
  readonly description?: string;
  readonly mailNickname?: string;
}

export interface GroupMember {
  readonly id: string;
  readonly kind: 'user' | 'servicePrincipal' | 'group';
  readonly displayName: string;
}

/** A user or service principal as decisions see it. */
export interface DirectoryPrincipal {
  readonly id: string;
  readonly displayName: string;
  readonly enabled: boolean;
  /** Ids of its groups and of the groups that those are in. */
  readonly groups: readonly string[];
}
