import { createCryptoService } from '../core/operations/crypto-service.ts';
import { createEncryptionLimit, GCM_LIMIT } from '../core/operations/encryption-limit.ts';
import { createSettingService } from '../core/pool/setting-service.ts';
import { createEncryptionCountStore } from '../store/operations/encryption-count-store.ts';
import { createSettingStore } from '../store/pool/setting-store.ts';
import type { Base } from './service/base.ts';
import type { Keys } from './keys.ts';
import { LIMITS } from './limits.ts';

/** What is done with keys, and the pool's settings that allow it. */
export function composeOperations({ log, clock, context, feed, hsm }: Base, keys: Keys) {
  const settings = createSettingService(createSettingStore(context, feed));
  const encryptionLimit = createEncryptionLimit({
    store: createEncryptionCountStore(context),
    limit: GCM_LIMIT,
    remembered: LIMITS.countedKeys,
    onHalfUsed: ({ name, version }, used) => {
      log.warn(
        { keyName: name, keyVersion: version, used, limit: GCM_LIMIT },
        'a key has made half of the AES-GCM encryptions that are safe: rotate it',
      );
    },
  });
  const crypto = createCryptoService({ hsm, keys: keys.reader, settings, encryptionLimit, clock });
  return { settings, crypto };
}
