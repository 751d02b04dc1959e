import graphene from 'graphene-pk11';
import { encrypt, generateKey, type ModuleSession, randomBytes, withObject } from './calls.ts';
import { AES_ECB } from '../operations/mechanisms.ts';

const ROUNDS = 5;
/**
 * Of three calls, such as an operation begins with on the event loop. SoftHSM takes a fiftieth of it, an HSM in another
 * machine several times as much; a hop to another thread and back costs a tenth.
 */
const SLOW_LIMIT_MS = 1;

/**
 * Measures whether the event loop may wait for this module at all: random bytes and one encrypted block. The quickest of a few rounds counts, so that a busy
 * machine isn't taken for a slow HSM.
 */
export function isSlow(session: ModuleSession): boolean {
  const key = generateKey(session, graphene.KeyGenMechanism.AES, {
    token: false,
    private: true,
    valueLen: 32,
    encrypt: true,
  });
  return withObject(session, key, () => {
    let quickestMs = Number.POSITIVE_INFINITY;
    let failure: unknown;
    for (let round = 0; round < ROUNDS; round += 1)
      try {
        const began = performance.now();
        encrypt(session, AES_ECB, key, randomBytes(session, 16), 16);
        quickestMs = Math.min(quickestMs, performance.now() - began);
      } catch (error) {
        // One that fails says nothing of the others.
        failure = error;
      }
    if (quickestMs === Number.POSITIVE_INFINITY) throw failure;
    return quickestMs > SLOW_LIMIT_MS;
  });
}
