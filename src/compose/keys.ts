import { createKeyService } from '../core/keys/key-service.ts';
import { keepObjectsOfKeys, recordObjects } from '../core/keys/objects/recorded-keys.ts';
import { newVersionId } from '../core/keys/new-version-id.ts';
import { createVersionMaker, type PoolRules } from '../core/keys/new-version.ts';
import { createRotationService } from '../core/keys/rotation/rotation-service.ts';
import { verifyKeys } from '../core/keys/verified-keys.ts';
import { cacheKeys } from '../store/keys/cached-key-reader.ts';
import { createKeyReader } from '../store/keys/key-reader.ts';
import { createKeyWriter } from '../store/keys/key-writer.ts';
import { createRotationStore } from '../store/keys/rotation-store.ts';
import { kept } from './objects.ts';
import type { Base } from './service/base.ts';
import { LIMITS } from './limits.ts';

/** Keys, their versions and their rotation. */
export function composeKeys({ settings, clock, pool, context, feed, hsm: module, keeper }: Base) {
  const hsm = kept(module, keeper, recordObjects);
  const { authorities } = settings.attestation ?? {};
  const rules: PoolRules = {
    poolId: pool.id,
    softDeleteDays: pool.softDeleteDays,
    purgeProtection: pool.purgeProtection,
    ...(authorities !== undefined && { releaseAuthorities: authorities }),
  };
  const reader = cacheKeys(verifyKeys(createKeyReader(context), hsm), feed, LIMITS.cachedKeysBytes);
  const writer = kept(createKeyWriter(context), keeper, keepObjectsOfKeys);
  const store = { ...reader, ...writer };
  const rotations = createRotationStore(context);
  const addVersion = createVersionMaker({ keys: store, pool: rules, clock, newVersionId });
  return {
    hsm,
    reader,
    store,
    rotations,
    app: {
      pool: rules,
      keys: createKeyService({ hsm, keys: store, addVersion, pool: rules, clock }),
      rotation: createRotationService({ hsm, rotations, addVersion, clock }),
    },
  };
}

export type Keys = ReturnType<typeof composeKeys>;
