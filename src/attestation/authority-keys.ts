import type { JSONWebKeySet } from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import { ServiceError } from '../core/errors.ts';
import { isSameAuthority } from '../core/release/release-policy.ts';
import { trimEnd } from '../core/trim-end.ts';
import { readPublishedKeys } from '../network/published-keys.ts';

export interface AuthorityKeysParts {
  readonly fetchJson: (url: string) => Promise<unknown>;
  /** Milliseconds on any steady clock. */
  readonly steadyMs: () => number;
}

/** The keys by which an authority's tokens are to be checked; `sought` is the key that a token names. */
export type AuthorityKeys = (authority: string, sought?: string) => Promise<JSONWebKeySet>;

/** A key that an authority has withdrawn is believed no longer than this. */
const GOOD_FOR_MS = 600_000;
/** A token names a key that isn't known: it may be new. Made-up names must not cost a request each. */
const LOOK_AGAIN_AFTER_MS = 30_000;
/** Those who ask an authority that is down must not make it worse. */
const TRY_AGAIN_AFTER_MS = 5_000;
const AUTHORITIES_REMEMBERED = 200;
const FETCHES_AT_ONCE = 20;

interface Entry {
  readonly read?: { readonly keys: JSONWebKeySet; readonly at: number };
  /** When it last failed to give them. */
  readonly failedAt?: number;
}

const Metadata = z.object({ issuer: z.string().optional(), jwks_uri: z.string().max(2048) });

/**
 * OpenID Connect Discovery 1.0 §4: metadata at the authority, and the key set (RFC 7517 §5) that it points to. (jose's
 * createRemoteJWKSet reads one fixed URL, and asks an authority that is down once more for each token.)
 */
export function createAuthorityKeys({ fetchJson, steadyMs }: AuthorityKeysParts): AuthorityKeys {
  const entries = new LRUCache<string, Entry>({ max: AUTHORITIES_REMEMBERED });
  const underWay = new Map<string, Promise<JSONWebKeySet>>();

  async function read(authority: string): Promise<JSONWebKeySet> {
    const base = trimEnd(authority, '/');
    const metadata = Metadata.parse(await fetchJson(`${base}/.well-known/openid-configuration`));
    if (metadata.issuer !== undefined && !isSameAuthority(metadata.issuer, authority))
      throw new Error('the metadata are of another issuer');
    const { protocol, username, password } = new URL(metadata.jwks_uri);
    if (protocol !== 'https:' || username !== '' || password !== '')
      throw new Error('jwks_uri is no https URL');
    return readPublishedKeys(await fetchJson(metadata.jwks_uri)).usable;
  }

  async function fetchKeys(authority: string): Promise<JSONWebKeySet> {
    try {
      const keys = await read(authority);
      entries.set(authority, { read: { keys, at: steadyMs() } });
      return keys;
    } catch (cause) {
      entries.set(authority, { ...entries.get(authority), failedAt: steadyMs() });
      throw unavailable(cause);
    }
  }

  return async (authority, sought) => {
    const { read: known, failedAt } = entries.get(authority) ?? {};
    const age = known === undefined ? Number.POSITIVE_INFINITY : steadyMs() - known.at;
    const isFound =
      sought === undefined || known?.keys.keys.some(({ kid }) => kid === sought) === true;
    const hasJustFailed = failedAt !== undefined && steadyMs() - failedAt < TRY_AGAIN_AFTER_MS;
    const goodFor = isFound || hasJustFailed ? GOOD_FOR_MS : LOOK_AGAIN_AFTER_MS;
    if (known !== undefined && age < goodFor) return known.keys;
    if (hasJustFailed) throw unavailable();
    const started = underWay.get(authority);
    if (started !== undefined) return started;
    if (underWay.size >= FETCHES_AT_ONCE)
      throw new ServiceError('Overloaded', 'Too many attestation authorities are being asked.');
    const fetched = fetchKeys(authority).finally(() => underWay.delete(authority));
    underWay.set(authority, fetched);
    return fetched;
  };
}

function unavailable(cause?: unknown): ServiceError {
  return new ServiceError(
    'AttestationAuthorityUnavailable',
    'The attestation authority does not give its keys.',
    { cause },
  );
}
