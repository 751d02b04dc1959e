import type { JWTVerifyGetKey } from 'jose';
import { LRUCache } from 'lru-cache';
import { z } from 'zod';
import type { FetchJson } from '../../network/fetch-json.ts';
import { type PublishedKeys, readPublishedKeys } from '../../network/published-keys.ts';
import { chooseAmong } from '../tokens/key-choice.ts';

/** Where the keys of an issuer are: at `jwksUri`, or where its discovery document says. */
export interface IssuerPlace {
  readonly issuer: string;
  readonly jwksUri?: string;
  /** Whether a client has named it, and not the operator: it is asked at public addresses only then. */
  readonly isNamedByCaller?: boolean;
}

export interface IssuerKeysParts {
  readonly fetchJson: FetchJson;
  /** Milliseconds on any steady clock. */
  readonly steadyMs: () => number;
  readonly delay: (ms: number) => Promise<unknown>;
  /** An issuer could not be read; what is known of its keys is used on. */
  readonly onError: (issuer: string, error: unknown) => void;
}

/** The keys by which tokens of that issuer are checked, the one that `kid` names among them if the issuer has it. */
export type IssuerKeys = (place: IssuerPlace, kid: string | undefined) => Promise<JWTVerifyGetKey>;

/** Between two fetches from the same issuer, whoever asks for what keys. */
const FLOOR_MS = 2_000;
/** Keys that the issuer has withdrawn are not used for much longer than this. */
const REFRESH_AFTER_MS = 10 * 60_000;
/** An issuer that is down may be so for a day. */
const BELIEVED_FOR_MS = 24 * 60 * 60_000;
/** For the same issuer: whoever floods one with unknown keys takes nothing from the others. */
const WAITING_LIMIT = 1_000;
const ISSUERS_LIMIT = 200;

const Discovery = z.object({ issuer: z.string(), jwks_uri: z.string() });

interface Entry {
  keys?: JWTVerifyGetKey;
  kids: ReadonlySet<string>;
  fetchedAt: number;
  attemptedAt: number;
  waiting: number;
  fetching?: Promise<void>;
}

/**
 * Keys of external issuers (OpenID Connect Discovery 1.0 §4, RFC 7517 §5), fetched when they are first needed, again in
 * the background as they grow old, and at once for a key that isn't known, which the issuer may just have begun to use.
 * Whoever asks for an unknown key waits for the next fetch, and shares it with all others who do.
 *
 * jose's createRemoteJWKSet doesn't serve here: it reads one fixed URL, refuses an unknown key while it cools down instead of waiting,
 * has no cool-down after a failure, and believes no keys for longer than it waits before it fetches again, so that an issuer
 * that is down would be so for its tokens too. Nor does it say why a published key can't be used.
 */
export function createIssuerKeys(parts: IssuerKeysParts): IssuerKeys {
  const { fetchJson, steadyMs, delay, onError } = parts;
  const entries = new LRUCache<string, Entry>({ max: ISSUERS_LIMIT });

  async function read({ issuer, jwksUri, isNamedByCaller }: IssuerPlace): Promise<PublishedKeys> {
    const fetched = (address: string) =>
      fetchJson(address, { onlyPublic: isNamedByCaller === true });
    let url = jwksUri;
    if (url === undefined) {
      const address = `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`;
      const found = Discovery.parse(await fetched(address));
      if (found.issuer !== issuer)
        throw new Error(`the discovery document at ${address} is of another issuer`);
      url = found.jwks_uri;
    }
    return readPublishedKeys(await fetched(url));
  }

  function refresh(place: IssuerPlace, entry: Entry): Promise<void> {
    entry.fetching ??= (async () => {
      const wait = entry.attemptedAt + FLOOR_MS - steadyMs();
      if (wait > 0) await delay(wait);
      entry.attemptedAt = steadyMs();
      try {
        const set = await read(place);
        entry.keys = chooseAmong(set);
        // One that can't be used is known nevertheless: to ask again would not make it another.
        entry.kids = new Set(
          [...set.usable.keys, ...set.unusable].flatMap(({ kid }) =>
            kid === undefined ? [] : [kid],
          ),
        );
        entry.fetchedAt = entry.attemptedAt;
      } catch (error) {
        onError(place.issuer, error);
      }
    })().finally(() => {
      delete entry.fetching;
    });
    return entry.fetching;
  }

  async function wait(place: IssuerPlace, entry: Entry): Promise<void> {
    if (entry.waiting >= WAITING_LIMIT)
      throw new Error(`too many wait for the keys of ${place.issuer}`);
    entry.waiting += 1;
    try {
      await refresh(place, entry);
    } finally {
      entry.waiting -= 1;
    }
  }

  return async (place, kid) => {
    const askedAt = steadyMs();
    const { issuer, jwksUri = '', isNamedByCaller = false } = place;
    const name = [issuer, jwksUri, isNamedByCaller].join('\n');
    let entry = entries.get(name);
    if (entry === undefined) {
      const never = Number.NEGATIVE_INFINITY;
      entry = { kids: new Set(), fetchedAt: never, attemptedAt: never, waiting: 0 };
      entries.set(name, entry);
    }
    const isOfUse = () =>
      entry.keys !== undefined && steadyMs() - entry.fetchedAt < BELIEVED_FOR_MS;
    const isKnown = () => isOfUse() && (kid === undefined || entry.kids.has(kid));
    // The fetch under way may have begun before this key was there: then the next one tells.
    for (let tries = 0; tries < 2 && !isKnown() && entry.attemptedAt <= askedAt; tries += 1)
      await wait(place, entry);
    if (isKnown() && steadyMs() - entry.fetchedAt > REFRESH_AFTER_MS) void refresh(place, entry);
    if (entry.keys === undefined || !isOfUse())
      throw new Error(`the keys of ${place.issuer} cannot be read`);
    return entry.keys;
  };
}
