import { action } from '../../core/access/actions.ts';
import {
  ATTESTATION_VERSION,
  type AttestationService,
} from '../../core/release/attestation-service.ts';
import { ServiceError } from '../../core/errors.ts';
import type { ReleaseService } from '../../core/release/release-service.ts';
import type { SecureWrapService } from '../../core/release/secure-wrap-service.ts';
import type { CertifiedKeys } from '../../core/pool/certified-keys.ts';
import { requireFeature } from '../api-version.ts';
import { toBase64url } from '../values/bytes.ts';
import { apiVersionOf, recorder } from '../context.ts';
import { keyNameOf, keyScopeOf, keyVersionOf } from '../keys/key-params.ts';
import { serializeBytes } from '../operations/crypto.schema.ts';
import { keyId, type KeyFormatOf, serializeKey } from '../keys/keys.schema.ts';
import {
  serializeRelease,
  ReleaseRequest,
  SecureUnwrapRequest,
  SecureWrapRequest,
} from './release.schema.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';

export interface ReleaseParts {
  readonly release: ReleaseService;
  readonly secureWrap: SecureWrapService;
  readonly attestation: AttestationService;
  readonly statements: CertifiedKeys;
}

/** A key's way out to an attested environment, and what the HSM attests of a key. Before the paths of keys. */
export function addReleaseRoutes(
  routes: Routes,
  { release, secureWrap, attestation, statements }: ReleaseParts,
  formatOf: KeyFormatOf,
): void {
  route(routes, {
    method: 'post',
    path: ['/keys/:name/release', '/keys/:name/:version/release'],
    operation: 'KeyRelease',
    keyMaterial: 'wrapped',
    action: action('keys/release/action'),
    params: keyVersionOf,
    scope: keyScopeOf,
    key: keyNameOf,
    body: ReleaseRequest,
    handler: async ({ params, body, context }) => {
      const { target, nonce, enc } = body;
      const released = await release.release(
        params,
        { token: target, wrap: enc },
        recorder(context),
      );
      const signer = await statements.signer('release');
      const payload = serializeRelease(
        released,
        { apiVersion: apiVersionOf(context).name, nonce },
        formatOf(context),
      );
      return { value: await signer.sign(payload) };
    },
  });

  const secure = { method: 'post', params: keyVersionOf, scope: keyScopeOf } as const;

  route(routes, {
    ...secure,
    path: ['/keys/:name/securewrapkey', '/keys/:name/:version/securewrapkey'],
    operation: 'KeySecureWrap',
    keyMaterial: 'wrapped',
    action: action('keys/wrap/action'),
    key: keyNameOf,
    body: SecureWrapRequest,
    handler: async ({ params, body, context }) => {
      requireFeature(apiVersionOf(context), 'secureWrap', 'Operation securewrapkey');
      return serializeBytes(await secureWrap.wrap(params, body.alg, recorder(context)), context);
    },
  });

  route(routes, {
    ...secure,
    path: ['/keys/:name/secureunwrapkey', '/keys/:name/:version/secureunwrapkey'],
    operation: 'KeySecureUnwrap',
    keyMaterial: 'wrapped',
    action: action('keys/unwrap/action'),
    key: keyNameOf,
    body: SecureUnwrapRequest,
    handler: async ({ params, body, context }) => {
      const version = apiVersionOf(context);
      requireFeature(version, 'secureWrap', 'Operation secureunwrapkey');
      const { alg, value, target, applicationTrustedIssuer: issuer } = body;
      if (issuer === undefined && version.has('applicationTrustedIssuer'))
        throw new ServiceError(
          'BadParameter',
          `Property applicationTrustedIssuer is missing: with api-version ${version.name} it must name the attestation authority that is trusted.`,
        );
      const request = { algorithm: alg, wrapped: value, token: target, issuer };
      return serializeBytes(await secureWrap.unwrap(params, request, recorder(context)), context);
    },
  });

  route(routes, {
    method: 'get',
    path: ['/keys/:name/attestation', '/keys/:name/:version/attestation'],
    operation: 'KeyAttestation',
    keyMaterial: 'public',
    action: action('keys/read/action'),
    params: keyVersionOf,
    scope: keyScopeOf,
    key: keyNameOf,
    handler: async ({ params, context }) => {
      const format = formatOf(context);
      const attested = await attestation.attest(
        params,
        (material) => keyId(format.origin, material),
        recorder(context),
      );
      const bundle = serializeKey(attested.key, format);
      return {
        ...bundle,
        attributes: { attestation: serializeAttestation(attested), ...bundle.attributes },
      };
    },
  });
}

function serializeAttestation(
  attested: Awaited<ReturnType<AttestationService['attest']>>,
): Readonly<Record<string, string | undefined>> {
  const { certificates, privateStatement, publicStatement } = attested;
  const text = (value: string) => toBase64url(Buffer.from(value));
  return {
    certificatePemFile: text(certificates.map(toPem).join('')),
    privateKeyAttestation: text(privateStatement),
    publicKeyAttestation: publicStatement && text(publicStatement),
    version: ATTESTATION_VERSION,
  };
}

/** RFC 7468 §5.1. */
function toPem(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}
