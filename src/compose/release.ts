import { openAttestationVerifier } from '../attestation/open-verifier.ts';
import type { CertifiedKeys } from '../core/pool/certified-keys.ts';
import { createAdmission } from '../core/release/admission.ts';
import { createAttestationService } from '../core/release/attestation-service.ts';
import { createReleaseService } from '../core/release/release-service.ts';
import { createSecureWrapService } from '../core/release/secure-wrap-service.ts';
import type { ReleaseParts } from '../http/release/release.routes.ts';
import type { Base } from './service/base.ts';
import type { Keys } from './keys.ts';

/** A key's way to an attested environment, and what the HSM attests of a key. */
export function composeRelease(
  { settings, clock, pool, hsm }: Base,
  { reader: keys }: Keys,
  certifiedKeys: CertifiedKeys,
): ReleaseParts {
  const { authorities, extraCa } = settings.attestation ?? {};
  const admit = createAdmission({
    attestation: openAttestationVerifier({ extraCa, clock }),
    ...(authorities !== undefined && { authorities }),
  });
  return {
    release: createReleaseService({ hsm, keys, admit }),
    secureWrap: createSecureWrapService({ hsm, keys, admit, clock }),
    attestation: createAttestationService({
      hsm,
      keys,
      certifiedKeys,
      pool: { id: pool.id, name: pool.name },
      clock,
    }),
    statements: certifiedKeys,
  };
}
