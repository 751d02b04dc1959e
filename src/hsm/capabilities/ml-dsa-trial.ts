import graphene from 'graphene-pk11';
import {
  type Attributes,
  destroyObject,
  type ModuleSession,
  sign,
  toAttributes,
  verify,
} from '../module/calls.ts';
import { lackOf } from './lack.ts';

const { ObjectClass } = graphene;

/** PKCS#11 v3.2 §6.67, for which the binding has no names. */
const CKM_ML_DSA_KEY_PAIR_GEN = 0x1c;
const CKM_ML_DSA = 0x1d;
const CKK_ML_DSA = 0x4a;
const CKA_KEY_TYPE = 0x100;
const CKA_PARAMETER_SET = 0x61d;
const CKP_ML_DSA_65 = 2;
/** FIPS 204, table 2. */
const SIGNATURE_BYTES = 3309;

/**
 * Whether the module makes an ML-DSA-65 key that signs. The list of mechanisms says so of modules that can't: their OpenSSL
 * may be newer than Node's, which takes the place of it.
 */
export function tryMlDsa(session: ModuleSession): boolean {
  const { handle, lib } = session;
  const usage = { token: false, private: true };
  const message = Buffer.from('trial');
  const lack = lackOf('CKM_ML_DSA', () => {
    const pair = lib.C_GenerateKeyPair(
      handle,
      { mechanism: CKM_ML_DSA_KEY_PAIR_GEN },
      mlDsa({ ...usage, private: false, verify: true, class: ObjectClass.PUBLIC_KEY }),
      mlDsa({ ...usage, sensitive: true, sign: true, class: ObjectClass.PRIVATE_KEY }),
    );
    try {
      const mechanism = { name: CKM_ML_DSA, params: null };
      const signature = sign(session, mechanism, pair.privateKey, message, SIGNATURE_BYTES);
      return verify(session, mechanism, pair.publicKey, message, signature);
    } finally {
      destroyObject(session, pair.publicKey);
      destroyObject(session, pair.privateKey);
    }
  });
  return lack === undefined;
}

function mlDsa(template: Parameters<typeof toAttributes>[0]): Attributes {
  return [
    ...toAttributes(template),
    { type: CKA_KEY_TYPE, value: ulong(CKK_ML_DSA) },
    { type: CKA_PARAMETER_SET, value: ulong(CKP_ML_DSA_65) },
  ];
}

/** CK_ULONG, as wide as a pointer, in the machine's order: all that Node runs on is little-endian here. */
function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeUInt32LE(value);
  return bytes;
}
