import { randomBytes } from 'node:crypto';
import graphene, { type Key, type Session } from 'graphene-pk11';
import type { SigningAlgorithm } from '../../src/core/operations/algorithms.ts';
import {
  type KeyIdentity,
  type KeySpec,
  parseKeyName,
  parseKeyVersionId,
} from '../../src/core/keys/key.ts';
import { HMAC_SHA256, SIGNING } from '../../src/hsm/operations/mechanisms.ts';
import { readBytes } from '../../src/hsm/module/calls.ts';
import {
  dataKey,
  generatedMac,
  generatedPrivate,
  generatedPublic,
} from '../../src/hsm/keys/templates.ts';

const { AesGcm240Params, KeyGenMechanism, MechanismEnum } = graphene;
const KEY_WRAP = { name: MechanismEnum.AES_KEY_WRAP, params: null };
const RSA_RAW = { name: MechanismEnum.RSA_X_509, params: null };
const GENERIC_SECRET = { name: MechanismEnum.GENERIC_SECRET_KEY_GEN, params: null };

const AES: KeySpec = { keyType: 'oct-HSM', bits: 256 };
const RSA: KeySpec = { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 };
const EC: KeySpec = { keyType: 'EC-HSM', curve: 'P-256' };
const IDENTITY: KeyIdentity = {
  pool: '',
  name: parseKeyName('raw'),
  version: parseKeyVersionId(randomBytes(16).toString('hex')),
  operations: ['sign', 'verify', 'encrypt', 'decrypt', 'wrapKey', 'unwrapKey'],
  exportable: false,
  origin: 'generated',
};

export type RawName =
  | 'AES wrap'
  | 'AES unwrap'
  | 'GCM encrypt'
  | 'GCM decrypt'
  | 'RSA encrypt'
  | 'RSA decrypt'
  | 'RS256 sign'
  | 'RS256 verify'
  | 'PS256 sign'
  | 'PS256 verify'
  | 'ES256 sign'
  | 'ES256 verify'
  | 'create P-256'
  | 'create RSA-2048'
  | 'random';

/** As sealed keys are made. */
const MADE = { token: false, extractable: true };

/**
 * The calls of PKCS#11 that each operation consists of, on session objects as the service has them, each with all that the
 * service does around it in the HSM, and nothing else: no event loop, no queue, no encoding.
 */
export function openRawOperations(session: Session): Readonly<Record<RawName, () => unknown>> {
  const value = randomBytes(32);
  const iv = randomBytes(12);
  const gcm = (nonce: Buffer) => ({
    name: MechanismEnum.AES_GCM,
    params: new AesGcm240Params(nonce, Buffer.alloc(0), 128),
  });
  const aes = session.generateKey(KeyGenMechanism.AES, generatedPrivate(IDENTITY, AES, MADE));
  const root = session.generateKey(KeyGenMechanism.AES, generatedPrivate(IDENTITY, AES, MADE));
  const seal = session.generateKey(GENERIC_SECRET, generatedMac(IDENTITY, MADE));
  const generate = (spec: KeySpec) =>
    session.generateKeyPair(
      spec === RSA ? KeyGenMechanism.RSA : KeyGenMechanism.EC,
      generatedPublic(IDENTITY, spec, { saysPublic: true }),
      generatedPrivate(IDENTITY, spec, MADE),
    );
  const [rsa, ec] = [generate(RSA), generate(EC)];

  const wrap = () => {
    const object = session.create(dataKey(value)).toType<Key>();
    const wrapped = session.wrapKey(KEY_WRAP, aes, object);
    object.destroy();
    return wrapped;
  };
  const wrapped = wrap();
  const encrypt = (nonce: Buffer) =>
    session.createCipher(gcm(nonce), aes).once(value, Buffer.alloc(value.length + 16));
  const ciphertext = encrypt(iv);
  // Below the modulus, as what OAEP makes is.
  const block = Buffer.concat([Buffer.alloc(1), randomBytes(255)]);
  const rsaEncrypt = () =>
    session.createCipher(RSA_RAW, rsa.publicKey).once(block, Buffer.alloc(256));
  const rsaCiphertext = rsaEncrypt();
  const signing = (algorithm: SigningAlgorithm, { privateKey, publicKey }: typeof rsa) => {
    const { mechanism, input } = SIGNING[algorithm];
    const sign = () => session.createSign(mechanism, privateKey).once(input(value));
    const signature = sign();
    return {
      sign,
      verify: () => session.createVerify(mechanism, publicKey).once(input(value), signature),
    };
  };
  const create = (spec: KeySpec) => () => {
    const { privateKey, publicKey } = generate(spec);
    readBytes(session, publicKey.handle, spec === RSA ? 'modulus' : 'pointEC');
    const blob = session.wrapKey(
      { name: MechanismEnum.AES_KEY_WRAP_PAD, params: null },
      root,
      privateKey,
    );
    privateKey.destroy();
    publicKey.destroy();
    return session.createSign(HMAC_SHA256, seal).once(blob);
  };
  const [rs256, ps256, es256] = [
    signing('RS256', rsa),
    signing('PS256', rsa),
    signing('ES256', ec),
  ];
  return {
    'AES wrap': wrap,
    'AES unwrap': () => {
      const object = session.unwrapKey(KEY_WRAP, aes, wrapped, dataKey());
      const plain = readBytes(session, object.handle, 'value');
      object.destroy();
      return plain;
    },
    'GCM encrypt': () => encrypt(session.generateRandom(12)),
    'GCM decrypt': () =>
      session.createDecipher(gcm(iv), aes).once(ciphertext, Buffer.alloc(ciphertext.length)),
    'RSA encrypt': () => {
      session.generateRandom(32);
      return rsaEncrypt();
    },
    'RSA decrypt': () =>
      session.createDecipher(RSA_RAW, rsa.privateKey).once(rsaCiphertext, Buffer.alloc(256)),
    'RS256 sign': rs256.sign,
    'RS256 verify': rs256.verify,
    'PS256 sign': ps256.sign,
    'PS256 verify': ps256.verify,
    'ES256 sign': es256.sign,
    'ES256 verify': es256.verify,
    'create P-256': create(EC),
    'create RSA-2048': create(RSA),
    random: () => session.generateRandom(32),
  };
}
