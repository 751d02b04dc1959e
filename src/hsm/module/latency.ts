import graphene, { type Session } from 'graphene-pk11';
import { AES_ECB } from '../operations/mechanisms.ts';

const ROUNDS = 5;
/**
 * Of three calls, such as an operation begins with on the event loop. SoftHSM takes a fiftieth of it, an HSM in another
 * machine several times as much; a hop to another thread and back costs a tenth.
 */
const SLOW_LIMIT_MS = 1;

/**
 * Measures whether the event loop may wait for this module at all: random bytes and one encrypted block, Init included,
 * which the binding runs synchronously whatever the form of the call. The quickest of a few rounds counts, so that a busy
 * machine isn't taken for a slow HSM.
 */
export function isSlow(session: Session): boolean {
  const key = session.generateKey(graphene.KeyGenMechanism.AES, {
    token: false,
    private: true,
    valueLen: 32,
    encrypt: true,
  });
  try {
    const rounds = Array.from({ length: ROUNDS }, () => {
      const began = performance.now();
      const block = session.generateRandom(16);
      session.createCipher(AES_ECB, key).once(block, Buffer.alloc(16));
      return performance.now() - began;
    });
    return Math.min(...rounds) > SLOW_LIMIT_MS;
  } finally {
    key.destroy();
  }
}
