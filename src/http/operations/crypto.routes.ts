import type { z } from 'zod';
import { action } from '../../core/access/actions.ts';
import { ServiceError } from '../../core/errors.ts';
import { findAlgorithm } from '../../core/operations/algorithms.ts';
import type { CryptoService } from '../../core/operations/crypto-service.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { requireFeature } from '../api-version.ts';
import { apiVersionOf, recorder, type RequestContext } from '../context.ts';
import { keyNameOf, keyScopeOf, keyVersionOf } from '../keys/key-params.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { toBase64url } from '../values/bytes.ts';
import {
  CipherRequest,
  serializeBytes,
  serializeDone,
  SignRequest,
  VerifyRequest,
} from './crypto.schema.ts';

/** What the six operations have in common; their names are taken in any case (.NET writes wrapKey, others wrapkey). */
const withKey = (name: string) =>
  ({
    method: 'post',
    path: [`/keys/:name/${name}`, `/keys/:name/:version/${name}`],
    params: keyVersionOf,
    scope: keyScopeOf,
    key: keyNameOf,
  }) as const;

/** The six operations, with or without a version. */
export function addCryptoRoutes(routes: Routes, crypto: CryptoService): void {
  for (const [name, operation, needed, use] of [
    ['encrypt', 'KeyEncrypt', action('keys/encrypt/action'), 'encrypt'],
    ['wrapkey', 'KeyWrap', action('keys/wrap/action'), 'wrapKey'],
  ] as const)
    route(routes, {
      ...withKey(name),
      operation,
      action: needed,
      keyMaterial: 'wrapped',
      body: CipherRequest,
      handler: async ({ params, body, context }) => {
        const { alg, value, ...parameters } = withoutUndefined(body);
        const note = recorder(context);
        const done = await crypto.encipher(use, params, alg, value, parameters, note);
        const { iv, tag, value: ciphertext } = done.result;
        return {
          ...serializeDone(done, context),
          iv: iv && toBase64url(iv),
          tag: tag && toBase64url(tag),
          value: toBase64url(ciphertext),
        };
      },
    });

  for (const [name, operation, needed, use] of [
    ['decrypt', 'KeyDecrypt', action('keys/decrypt/action'), 'decrypt'],
    ['unwrapkey', 'KeyUnwrap', action('keys/unwrap/action'), 'unwrapKey'],
  ] as const)
    route(routes, {
      ...withKey(name),
      operation,
      action: needed,
      keyMaterial: 'plain',
      body: CipherRequest,
      handler: async ({ params, body, context }) => {
        const { alg, aad, ...ciphertext } = withoutUndefined(body);
        const parameters = withoutUndefined({ aad });
        const note = recorder(context);
        const done = await crypto.decipher(use, params, alg, ciphertext, parameters, note);
        return serializeBytes(done, context);
      },
    });

  route(routes, {
    ...withKey('sign'),
    operation: 'KeySign',
    action: action('keys/sign/action'),
    keyMaterial: 'none',
    body: SignRequest,
    handler: async ({ params, body, context }) => {
      const { alg, value, context: bound, external_mu: externalMu } = body;
      requireKnownMembers(body, context);
      const signable = { value, context: bound, externalMu };
      const done = await crypto.sign(params, alg, signable, recorder(context));
      return serializeBytes(done, context);
    },
  });

  route(routes, {
    ...withKey('verify'),
    operation: 'KeyVerify',
    action: action('keys/verify/action'),
    keyMaterial: 'none',
    body: VerifyRequest,
    handler: async ({ params, body, context }) => {
      const { alg, digest, value, context: bound, external_mu: externalMu } = body;
      requireKnownMembers(body, context);
      const signable = { value: digest, context: bound, externalMu };
      const done = await crypto.verify(params, alg, signable, value, recorder(context));
      return { ...serializeDone(done, context), value: done.result };
    },
  });
}

/**
 * What came with ML-DSA. A version that doesn't know a member must not have it passed over: a signature would be one of
 * something else.
 * @throws ServiceError BadParameter
 */
function requireKnownMembers(
  { alg, context, external_mu }: z.infer<typeof SignRequest> | z.infer<typeof VerifyRequest>,
  request: RequestContext,
): void {
  const version = apiVersionOf(request);
  if (external_mu !== undefined) requireFeature(version, 'mlDsa', 'external_mu');
  if (context !== undefined) requireFeature(version, 'mlDsa', 'context');
  if (alg === undefined && !version.has('mlDsa'))
    throw new ServiceError('BadParameter', 'Property alg has an invalid value: it is missing.');
  if (alg !== undefined && findAlgorithm(alg)?.keyType === 'AKP-HSM')
    requireFeature(version, 'mlDsa', alg);
}
