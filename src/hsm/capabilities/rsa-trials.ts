import graphene from 'graphene-pk11';
import {
  createObject,
  decrypt,
  destroyObject,
  encrypt,
  type Handle,
  type ModuleSession,
  toAttributes,
} from '../module/calls.ts';
import { recipientPublic } from '../keys/templates.ts';
import { RSA_RAW, rsaOaep } from '../operations/mechanisms.ts';
import type { OaepHash } from '../operations/rsa-padding.ts';
import type { Capabilities, Padding } from './capabilities.ts';
import { lackOf } from './lack.ts';

const { MechanismEnum } = graphene;

export type Paddings = Pick<Capabilities, 'oaepSha1' | 'oaepSha256' | 'oaepSha384' | 'pkcs1'>;

/** Both halves of an RSA-2048 key. */
interface Pair {
  readonly publicKey: Handle;
  readonly privateKey: Handle;
}
const BLOCK_BYTES = 256;

/** A number that can be a modulus of 2048 bits; nothing is enciphered by it. */
const PUBLIC_N = Buffer.alloc(BLOCK_BYTES, 0xd5);

/** Where there are no RSA keys nothing hangs on them. */
export const UNTRIED: Paddings = {
  oaepSha1: 'raw',
  oaepSha256: 'raw',
  oaepSha384: 'raw',
  pkcs1: 'raw',
};

/** Whether a public key may say that it is not private: CloudHSM demands CKA_PRIVATE true of all keys. */
export function trySaysPublic(session: ModuleSession): boolean {
  const create = (saysPublic: boolean) =>
    lackOf('CKA_PRIVATE', () => {
      const template = recipientPublic({ n: PUBLIC_N, e: Buffer.of(1, 0, 1) }, { saysPublic });
      destroyObject(session, createObject(session, toAttributes(template)));
      return true;
    }) === undefined;
  return create(true) || !create(false);
}

/** Which paddings the module does right. */
export function tryRsaPaddings(session: ModuleSession, pair: Pair): Paddings {
  return {
    oaepSha1: tryOaep(session, pair, 'sha1'),
    oaepSha256: tryOaep(session, pair, 'sha256'),
    oaepSha384: tryOaep(session, pair, 'sha384'),
    pkcs1: tryPkcs1(session, pair),
  };
}

function tryOaep(session: ModuleSession, { publicKey, privateKey }: Pair, hash: OaepHash): Padding {
  const mechanism = rsaOaep(hash);
  const plaintext = Buffer.from('probe');
  const lack = lackOf('CKM_RSA_PKCS_OAEP', () => {
    const ciphertext = encrypt(session, mechanism, publicKey, plaintext, BLOCK_BYTES);
    return decrypt(session, mechanism, privateKey, ciphertext, BLOCK_BYTES).equals(plaintext);
  });
  return lack === undefined ? 'native' : 'raw';
}

/** Whether a wrong padding is refused. */
function tryPkcs1(session: ModuleSession, { publicKey, privateKey }: Pair): Padding {
  // A block that begins with neither 00 02 nor anything like it.
  const block = Buffer.alloc(BLOCK_BYTES, 0x11);
  block[0] = 0;
  const padded = { name: MechanismEnum.RSA_PKCS, params: null };
  let ciphertext: Buffer | undefined;
  const lack = lackOf('CKM_RSA_X_509', () => {
    ciphertext = encrypt(session, RSA_RAW, publicKey, block, BLOCK_BYTES);
    return true;
  });
  // Without the bare operation nothing can be built around it, and no wrong padding can be made.
  if (lack !== undefined || ciphertext === undefined) return 'native';
  const wrong = ciphertext;
  const opened = lackOf('CKM_RSA_PKCS', () => {
    decrypt(session, padded, privateKey, wrong, BLOCK_BYTES);
    return true;
  });
  return opened === undefined ? 'raw' : 'native';
}
