/** The built-in directory, in the words of Microsoft Graph. */
export interface Application {
  /** Object id of the application. */
  readonly id: string;
  /** The client id that callers sign in with. */
  readonly appId: string;
  readonly displayName: string;
  readonly createdAt: Date;
}

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
