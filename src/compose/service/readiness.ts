import type { Readiness } from '../../http/pool/health.routes.ts';
import { findPool } from '../../store/pool/pool-store.ts';
import { createStoreCheck } from '../../store/pool/store-check.ts';
import type { Base } from './base.ts';
import { LIMITS } from '../limits.ts';

interface ReadinessParts {
  readonly hsm: { readonly isReady: boolean };
  readonly audit: { isTaking(): boolean };
  /** What the HSM lacks of the pool's root keys: a sentence. */
  readonly rootKeys: { lack(): string | undefined };
  readonly isStartOver: (() => boolean) | undefined;
}

/** Which parts of the service could serve a request now. */
export function composeReadiness(
  { pool, context, feed }: Base,
  { hsm, audit, rootKeys, isStartOver }: ReadinessParts,
): Readiness {
  const isStoreThere = createStoreCheck(
    async () => (await findPool(context.db, pool.name)) !== undefined,
    LIMITS.readinessMs,
  );
  return async () => {
    const store = await isStoreThere();
    const lack = rootKeys.lack();
    const reason = feed.fault() ?? lack;
    return {
      parts: {
        hsm: hsm.isReady,
        store,
        audit: audit.isTaking(),
        changeFeed: feed.isCoherent(),
        ...(lack !== undefined && { rootKeys: false }),
        // Nobody has the settings of a client before.
        ...(isStartOver?.() === false && { start: false }),
      },
      ...(reason !== undefined && { reason }),
    };
  };
}
