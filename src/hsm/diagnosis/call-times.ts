import type { Capabilities } from '../capabilities/capabilities.ts';
import * as calls from '../module/calls.ts';
import type { Handle, ModuleSession } from '../module/calls.ts';
import { withWrappingKey } from '../capabilities/key-wrap-trials.ts';
import { identityFor } from '../capabilities/trial-identity.ts';
import { generateObjects } from '../keys/key-generation.ts';
import { AES_ECB, SIGNING } from '../operations/mechanisms.ts';
import type { KeySpec } from '../../core/keys/key.ts';

/** Microseconds of whole operations, from their first call to their last, by what they are. */
export type CallTimes = Readonly<Record<string, number>>;

const ROUNDS = 9;

/** Times what the module can do of the operations that callers ask for most. */
export function measureCalls(session: ModuleSession, capabilities: Capabilities): CallTimes {
  const block = Buffer.alloc(16, 7);
  const times: Record<string, number> = {
    '16 random bytes': medianUs(() => calls.randomBytes(session, 16)),
    'an AES block': withWrappingKey(session, (key) =>
      medianUs(() => calls.encrypt(session, AES_ECB, key, block, block.length)),
    ),
  };
  for (const [name, spec, algorithm] of SIGNERS) {
    if (capabilities.keyLacks[name] !== undefined) continue;
    const began = performance.now();
    const objects = generateObjects({ session, capabilities }, identityFor(spec), spec);
    times[`making ${name}`] = Math.round((performance.now() - began) * 1000);
    const { mechanism, input, limitBytes } = SIGNING[algorithm];
    const digest = input(calls.randomBytes(session, 32));
    const [key] = objects as readonly [Handle, ...Handle[]];
    times[`signing ${algorithm}`] = medianUs(() =>
      calls.sign(session, mechanism, key, digest, limitBytes),
    );
    for (const object of objects) calls.destroyObject(session, object);
  }
  return times;
}

const SIGNERS = [
  ['EC-HSM P-256', { keyType: 'EC-HSM', curve: 'P-256' }, 'ES256'],
  ['RSA-HSM 2048', { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 }, 'RS256'],
  ['AKP-HSM ML-DSA-65', { keyType: 'AKP-HSM', parameterSet: 'ML-DSA-65' }, 'ML-DSA-65'],
] as const satisfies readonly (readonly [string, KeySpec, keyof typeof SIGNING])[];

function medianUs(act: () => unknown): number {
  const rounds = Array.from({ length: ROUNDS }, () => {
    const began = performance.now();
    act();
    return (performance.now() - began) * 1000;
  }).sort((one, other) => one - other);
  return Math.round(rounds[ROUNDS >> 1] ?? 0);
}
