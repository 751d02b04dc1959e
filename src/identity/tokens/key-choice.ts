import { createLocalJWKSet, errors, type JWTVerifyGetKey } from 'jose';
import type { PublishedKeys } from '../../network/published-keys.ts';

/** The key that a token names is there, and can't be used. The message says why, in words that may be told. */
export class UnusableKeyError extends errors.JOSEError {
  static override code = 'ERR_STRONGROOM_KEY_UNUSABLE';
  override readonly code = UnusableKeyError.code;
}

/**
 * Chooses the one key that a token's header fits: by its `kid`, or where it has none, or the issuer doesn't name its keys,
 * by its algorithm alone. A token that fits several is not tried on all of them.
 */
export function chooseAmong({ usable, unusable }: PublishedKeys): JWTVerifyGetKey {
  const find = createLocalJWKSet(usable);
  const findNameless = createLocalJWKSet({
    keys: usable.keys.filter(({ kid }) => kid === undefined),
  });
  return async (header, token) => {
    try {
      return await find(header, token);
    } catch (error) {
      if (!(error instanceof errors.JWKSNoMatchingKey)) throw error;
      const { kid, ...unnamed } = header;
      const named = unusable.find((key) => kid === undefined || key.kid === kid);
      if (named !== undefined)
        throw new UnusableKeyError(
          `The issuer's key that the token names cannot be used: ${named.reason}.`,
        );
      if (kid === undefined || usable.keys.some((key) => key.kid === kid)) throw error;
      return findNameless(unnamed, token);
    }
  };
}
