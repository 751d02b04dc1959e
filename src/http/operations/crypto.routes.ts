import { type Router } from 'express';
import { type z } from 'zod';
import { type Action, action } from '../../core/access/actions.ts';
import { type CryptoService, type Done } from '../../core/operations/crypto-service.ts';
import { toBase64url } from '../values/base64url.ts';
import { type RequestContext } from '../context.ts';
import { CipherRequest, SignRequest, VerifyRequest } from './crypto.schema.ts';
import { keyNameOf, keyScopeOf, keyVersionOf } from '../keys/key-params.ts';
import { keyId } from '../keys/keys.schema.ts';
import { route, type RouteDefinition, type RouteServices } from '../route.ts';

type KeyParams = ReturnType<typeof keyVersionOf>;

/** The six operations, with or without a version; their names in any case (.NET writes wrapKey, others wrapkey). */
export function addCryptoRoutes(
  router: Router,
  services: RouteServices,
  crypto: CryptoService,
): void {
  function operation<Body>(
    name: string,
    auditName: string,
    needed: Action,
    body: z.ZodType<Body>,
    handler: RouteDefinition<KeyParams, undefined, Body>['handler'],
  ) {
    route(router, services, {
      method: 'post',
      path: [`/keys/:name/${name}`, `/keys/:name/:version/${name}`],
      operation: auditName,
      action: needed,
      params: keyVersionOf,
      scope: keyScopeOf,
      key: keyNameOf,
      body,
      handler,
    });
  }

  for (const [name, auditName, needed, use] of [
    ['encrypt', 'KeyEncrypt', action('keys/encrypt/action'), 'encrypt'],
    ['wrapkey', 'KeyWrap', action('keys/wrap/action'), 'wrapKey'],
  ] as const)
    operation(name, auditName, needed, CipherRequest, async ({ params, body, context }) => {
      const note = recorder(context);
      const { alg, value, ...parameters } = withoutUndefined(body);
      const done = await crypto.encipher(use, params, alg, value, parameters, note);
      const { iv, tag, value: ciphertext } = done.result;
      return {
        ...serializeDone(done, context),
        ...(iv !== undefined && { iv: toBase64url(iv) }),
        ...(tag !== undefined && { tag: toBase64url(tag) }),
        value: toBase64url(ciphertext),
      };
    });

  for (const [name, auditName, needed, use] of [
    ['decrypt', 'KeyDecrypt', action('keys/decrypt/action'), 'decrypt'],
    ['unwrapkey', 'KeyUnwrap', action('keys/unwrap/action'), 'unwrapKey'],
  ] as const)
    operation(name, auditName, needed, CipherRequest, async ({ params, body, context }) => {
      const { alg, aad, ...ciphertext } = withoutUndefined(body);
      const parameters = aad === undefined ? {} : { aad };
      const done = await crypto.decipher(
        use,
        params,
        alg,
        ciphertext,
        parameters,
        recorder(context),
      );
      return { ...serializeDone(done, context), value: toBase64url(done.result) };
    });

  operation('sign', 'KeySign', action('keys/sign/action'), SignRequest, async (input) => {
    const { params, body, context } = input;
    const done = await crypto.sign(params, body.alg, body.value, recorder(context));
    return { ...serializeDone(done, context), value: toBase64url(done.result) };
  });

  operation('verify', 'KeyVerify', action('keys/verify/action'), VerifyRequest, async (input) => {
    const { params, body, context } = input;
    const done = await crypto.verify(params, body.alg, body.digest, body.value, recorder(context));
    return { ...serializeDone(done, context), value: done.result };
  });
}

function recorder({ audit }: RequestContext) {
  return (notes: Parameters<typeof audit.note>[0]) => {
    audit.note(notes);
  };
}

function serializeDone({ algorithm, key }: Done<unknown>, { host }: RequestContext) {
  return { alg: algorithm, kid: keyId(`https://${host.authority}`, key) };
}

/** exactOptionalPropertyTypes: absent, rather than there and undefined. */
function withoutUndefined({ alg, value, iv, aad, tag }: z.infer<typeof CipherRequest>) {
  return {
    alg,
    value,
    ...(iv !== undefined && { iv }),
    ...(aad !== undefined && { aad }),
    ...(tag !== undefined && { tag }),
  };
}
