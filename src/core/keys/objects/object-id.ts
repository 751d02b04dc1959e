import { randomBytes } from 'node:crypto';
import type { KeyMaterial } from '../key.ts';
import { type PackedBytes, unpackBytes } from '../packed-bytes.ts';

declare const brand: unique symbol;
/** CKA_ID of a token object that a resident key is: 16 random bytes, as 32 lower-case hex digits. */
export type ObjectId = string & { readonly [brand]: 'ObjectId' };

/** The objects that a new resident key is to be: `mac` is the companion secret of an AES key. */
export interface ObjectIds {
  readonly private: ObjectId;
  readonly mac: ObjectId;
}

/** Puts a new key's objects on record, once, when the HSM is about to be asked. @throws ServiceError HsmFull */
export type BeginObjects = () => Promise<ObjectIds>;

const ID_BYTES = 16;
/**
 * In the place of a wrapped key a resident one has this byte and the object's id behind it. No wrapped key looks like that:
 * they are a multiple of 8 bytes, or begin with another kind (hsm/keys/sealed-blob.ts).
 */
const REFERENCE = 3;
/** How long such a reference is; rows of resident keys are found by it. */
export const REFERENCE_BYTES = 1 + ID_BYTES;

export function newObjectId(): ObjectId {
  return randomBytes(ID_BYTES).toString('hex') as ObjectId;
}

export function toReference(id: ObjectId): Buffer {
  return Buffer.concat([Buffer.of(REFERENCE), Buffer.from(id, 'hex')]);
}

/** Undefined for a wrapped key. */
export function objectIdIn(blob: Uint8Array): ObjectId | undefined {
  if (blob.length !== REFERENCE_BYTES || blob[0] !== REFERENCE) return undefined;
  return Buffer.from(blob.subarray(1)).toString('hex') as ObjectId;
}

/** The objects that a key is; none of a sealed one. */
export function objectsOf({ sealed }: Pick<KeyMaterial, 'sealed'>): readonly ObjectId[] {
  return [sealed.blob, sealed.macBlob].flatMap((blob: PackedBytes | undefined) => {
    const id = blob === undefined ? undefined : objectIdIn(unpackBytes(blob));
    return id === undefined ? [] : [id];
  });
}
