import type { KeyKeeping as Kind } from '../../../core/keys/key-keeping.ts';
import type { KeySpec } from '../../../core/keys/key.ts';
import type { Capabilities } from '../../capabilities/capabilities.ts';
import { unwrapBlob } from '../sealed-blob.ts';
import type { KeyKeeping } from './key-keeping.ts';
import { resident, residentForTrial } from './resident-keys.ts';
import { sealed, sealedForTrial } from './sealed-keys.ts';
import { sealedSeeds } from './sealed-seeds.ts';

const KEEPINGS: Readonly<Record<Kind, KeyKeeping>> = { sealed, resident };
const FOR_TRIALS: Readonly<Record<Kind, KeyKeeping>> = {
  sealed: sealedForTrial,
  resident: residentForTrial,
};

export function keepingOf(kind: Kind): KeyKeeping {
  return KEEPINGS[kind];
}

/** The same, but nothing is left in the token. */
export function keepingForTrials(kind: Kind): KeyKeeping {
  return FOR_TRIALS[kind];
}

/** What decides how a key is kept besides what the pool does. */
export type KeepingCapabilities = Pick<Capabilities, 'keeping' | 'mlDsaKeys' | 'unwrapsReadable'>;

/** How a key of this kind is kept. */
export function keepingFor(capabilities: KeepingCapabilities, spec: KeySpec): KeyKeeping {
  return spec.keyType === 'AKP-HSM' && keepsSeeds(capabilities)
    ? sealedSeeds(spec.parameterSet, capabilities)
    : keepingOf(capabilities.keeping);
}

export function keepingForTrialsOf(capabilities: KeepingCapabilities, spec: KeySpec): KeyKeeping {
  return spec.keyType === 'AKP-HSM' && keepsSeeds(capabilities)
    ? sealedSeeds(spec.parameterSet, capabilities, unwrapBlob)
    : keepingForTrials(capabilities.keeping);
}

/** Whether what is wrapped of keys of ML-DSA is a secret to the module, and no key. */
export function keepsSeeds({
  keeping,
  mlDsaKeys,
}: Pick<Capabilities, 'keeping' | 'mlDsaKeys'>): boolean {
  return keeping === 'sealed' && mlDsaKeys === 'seeds';
}
