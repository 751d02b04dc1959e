import { type Clock, systemClock } from '../core/clock.ts';
import {
  createTokenSigningKeys,
  type TokenSigningKeys,
  type TokenSigningKeysParts,
} from '../core/directory/token-signing-keys.ts';
import { newVersionId } from '../core/keys/new-version-id.ts';
import type { ObjectKeeper } from '../core/keys/objects/object-keeper.ts';
import { keepObjectsOfSigningKeys, recordGenerated } from '../core/keys/objects/recorded-keys.ts';
import type { StoreContext } from '../store/database.ts';
import { createSigningKeyStore } from '../store/directory/token-signing-key-store.ts';
import { kept } from './objects.ts';

const SIGNING_KEY_DAYS = 30;

interface SigningKeyOptions {
  readonly clock?: Clock;
  readonly rotateAfterDays?: number | undefined;
  /** By which a service hears of new keys; a command asks once and ends. */
  readonly feed?: TokenSigningKeysParts['feed'];
  readonly onBroken?: TokenSigningKeysParts['onBroken'];
  /** Of a resident pool. */
  readonly keeper?: ObjectKeeper | undefined;
}

/** The keys that sign the directory's tokens. */
export function openTokenSigningKeys(
  context: StoreContext,
  hsm: TokenSigningKeysParts['hsm'],
  options: SigningKeyOptions = {},
): TokenSigningKeys {
  const { rotateAfterDays = SIGNING_KEY_DAYS, keeper } = options;
  return createTokenSigningKeys({
    hsm: kept(hsm, keeper, recordGenerated),
    store: kept(createSigningKeyStore(context), keeper, keepObjectsOfSigningKeys),
    poolId: context.poolId,
    newVersionId,
    rotateAfterDays,
    feed: options.feed ?? { subscribe: () => undefined },
    clock: options.clock ?? systemClock,
    steadyMs: () => performance.now(),
    onBroken: options.onBroken ?? (() => undefined),
  });
}
