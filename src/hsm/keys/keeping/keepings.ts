import type { KeyKeeping as Kind } from '../../../core/keys/key-keeping.ts';
import type { KeyKeeping } from './key-keeping.ts';
import { resident, residentForTrial } from './resident-keys.ts';
import { sealed, sealedForTrial } from './sealed-keys.ts';

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
