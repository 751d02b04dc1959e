import { createHash } from 'node:crypto';
import type { ParameterSet } from '../../core/operations/algorithms.ts';
import type { SigningParameters } from '../../core/keys/hsm.ts';
import { type SealingContext, unwrapBlob, wrapForSealing } from '../keys/sealed-blob.ts';
import { generatedPrivate, generatedPublic, loadedPrivate } from '../keys/templates.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession } from '../module/calls.ts';
import { returnValue } from '../module/return-values.ts';
import { SIGNING } from '../operations/mechanisms.ts';
import {
  ML_DSA_KEY_PAIR_GEN,
  ML_DSA_KEY_PAIR_GEN_NAME,
  mlDsaMechanism,
} from '../operations/ml-dsa.ts';
import type { Capabilities } from './capabilities.ts';
import { type Lack, lackOf } from './lack.ts';
import { identityFor } from './trial-identity.ts';

const TO_WRAP = { token: false, extractable: true };
const TRIED = { keyType: 'AKP-HSM', parameterSet: 'ML-DSA-65' } as const;

/** Whether the module wraps a private key of ML-DSA, and opens it again. */
export function wrapsMlDsa(
  context: SealingContext & {
    readonly capabilities: SealingContext['capabilities'] & Pick<Capabilities, 'saysPublic'>;
  },
): boolean {
  const { session } = context;
  const identity = identityFor(TRIED);
  return (
    lackOf(ML_DSA_KEY_PAIR_GEN_NAME, () => {
      const pair = calls.generateKeyPair(
        session,
        ML_DSA_KEY_PAIR_GEN,
        generatedPublic(identity, TRIED, context.capabilities),
        generatedPrivate(identity, TRIED, TO_WRAP),
      );
      const made = [pair.privateKey, pair.publicKey];
      try {
        const attributes = calls.toAttributes(loadedPrivate(identity, TRIED));
        made.push(unwrapBlob(context, wrapForSealing(context, pair.privateKey), attributes));
        return true;
      } finally {
        for (const handle of made) calls.destroyObject(session, handle);
      }
    }) === undefined
  );
}

interface Pair {
  readonly publicKey: Handle;
  readonly privateKey: Handle;
}

const MESSAGE = Buffer.from('trial');
const CONTEXT = Buffer.from('context');

/** Whether a key signs, hedged (FIPS 204 §3.4), and whether what it signs in one context holds there and nowhere else. */
export function signsMlDsa(
  session: ModuleSession,
  parameterSet: ParameterSet,
  pair: Pair,
): boolean | string {
  const signed = (parameters: SigningParameters, data: Buffer = MESSAGE) =>
    sign(session, parameterSet, pair, parameters, data);
  const one = signed({});
  if (one.equals(signed({}))) return 'it signs without random numbers';
  const bound = signed({ context: CONTEXT });
  const holds = (signature: Buffer, parameters: SigningParameters, data: Buffer = MESSAGE) =>
    verifies(session, pair, parameters, data, signature);
  const empty = Buffer.alloc(0);
  return (
    holds(one, {}) &&
    holds(bound, { context: CONTEXT }) &&
    !holds(bound, {}) &&
    !holds(one, { context: CONTEXT }) &&
    !holds(one, {}, CONTEXT) &&
    holds(signed({}, empty), {}, empty)
  );
}

/** Whether a signature of μ is one of the message, and a signature of the message one of μ. */
export function tryExternalMu(
  session: ModuleSession,
  parameterSet: ParameterSet,
  pair: Pair,
  pub: Uint8Array,
): Lack | undefined {
  return lackOf('CKM_ML_DSA_EXTERNAL_MU', () => {
    const mu = muOf(pub, CONTEXT, MESSAGE);
    const [ofMu, ofMessage] = [{ isMu: true }, { context: CONTEXT }] as const;
    return (
      verifies(session, pair, ofMessage, MESSAGE, sign(session, parameterSet, pair, ofMu, mu)) &&
      verifies(session, pair, ofMu, mu, sign(session, parameterSet, pair, ofMessage, MESSAGE))
    );
  });
}

/** FIPS 204, algorithm 2 steps 5 to 10 and algorithm 7 step 6: of public key, context and message. */
export function muOf(pub: Uint8Array, context: Uint8Array, message: Uint8Array): Buffer {
  const shake = () => createHash('shake256', { outputLength: 64 });
  return shake()
    .update(shake().update(pub).digest())
    .update(Buffer.of(0, context.length))
    .update(context)
    .update(message)
    .digest();
}

function sign(
  session: ModuleSession,
  parameterSet: ParameterSet,
  { privateKey }: Pair,
  parameters: SigningParameters,
  data: Buffer,
): Buffer {
  const { limitBytes } = SIGNING[parameterSet];
  return calls.sign(session, mlDsaMechanism(parameters), privateKey, data, limitBytes);
}

function verifies(
  session: ModuleSession,
  { publicKey }: Pair,
  parameters: SigningParameters,
  data: Buffer,
  signature: Buffer,
): boolean {
  try {
    return calls.verify(session, mlDsaMechanism(parameters), publicKey, data, signature);
  } catch (error) {
    if (returnValue(error) === 'CKR_SIGNATURE_INVALID') return false;
    throw error;
  }
}
