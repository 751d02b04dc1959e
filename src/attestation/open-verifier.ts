import type { Clock } from '../core/clock.ts';
import type { AttestationVerifier } from '../core/release/admission.ts';
import { createAuthorityKeys } from './authority-keys.ts';
import { createFetchJson } from '../network/fetch-json.ts';
import { createTokenVerifier } from './token-verifier.ts';

const DEADLINE_MS = 5_000;
const SIZE_LIMIT = 262_144;

/** Checks attestation tokens with keys that it gets from their authorities. */
export function openAttestationVerifier(options: {
  /** PEM of certificate authorities that are trusted besides the public ones. */
  readonly extraCa?: string | undefined;
  readonly clock: Clock;
}): AttestationVerifier {
  const { extraCa, clock } = options;
  const fetchJson = createFetchJson({
    ...(extraCa !== undefined && { extraCa }),
    deadlineMs: DEADLINE_MS,
    sizeLimit: SIZE_LIMIT,
  });
  const authorityKeys = createAuthorityKeys({ fetchJson, steadyMs: () => performance.now() });
  return createTokenVerifier({ authorityKeys, clock });
}
