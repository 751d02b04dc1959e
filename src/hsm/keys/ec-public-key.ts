import { createECDH, ECDH } from 'node:crypto';
import { CURVE, type Curve } from '../../core/operations/algorithms.ts';
import type { PublicKey } from '../../core/keys/key.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import { ecdh } from '../operations/mechanisms.ts';
import {
  deriveKey,
  type Handle,
  type ModuleSession,
  readValue,
  withObject,
} from '../module/calls.ts';
import { derivedCoordinate } from './templates.ts';

/**
 * The public half of a private key that stays in the HSM. An EC private key object doesn't tell its point, but ECDH with
 * the curve's base point gives the x coordinate of private key times base point (SP 800-56A rev. 3 §5.7.1.2), which is
 * the public key's. Of the two points with that x, `isRight` tells which.
 * @throws Error when neither is, and the first that `isRight` has thrown
 */
export function deriveEcPublicKey(
  session: ModuleSession,
  key: Handle,
  curve: Curve,
  capabilities: Pick<Capabilities, 'saysPublic'>,
  isRight: (candidate: PublicKey) => boolean,
): PublicKey {
  const { bytes } = CURVE[curve];
  const coordinate = derivedCoordinate(bytes, capabilities);
  const shared = deriveKey(session, ecdh(basePoint(curve)), key, coordinate);
  const x = withObject(session, shared, () => readValue(session, shared));
  let failure: Error | undefined;
  for (const sign of [2, 3]) {
    const point = ECDH.convertKey(Buffer.concat([Buffer.of(sign), x]), CURVE[curve].openssl);
    const coordinates = (point as Buffer).subarray(1);
    const candidate: PublicKey = {
      keyType: 'EC-HSM',
      x: coordinates.subarray(0, bytes),
      y: coordinates.subarray(bytes),
    };
    try {
      if (isRight(candidate)) return candidate;
    } catch (error) {
      // Of a signature that another key has made some modules say no more than CKR_DEVICE_ERROR.
      failure ??= error instanceof Error ? error : new Error(String(error));
    }
  }
  if (failure !== undefined) throw failure;
  throw new Error('the HSM derived no coordinate of the public key');
}

/** 04 || x || y of the curve's generator: the public key of the private key 1. */
function basePoint(curve: Curve): Buffer {
  const one = createECDH(CURVE[curve].openssl);
  one.setPrivateKey(Buffer.of(1));
  return one.getPublicKey();
}
