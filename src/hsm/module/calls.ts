import graphene, { type IAlgorithm, type ITemplate, type Key, type Session } from 'graphene-pk11';

const { Mechanism, Template } = graphene;

/**
 * Single operations as calls of graphene's own binding to the module, for those that run inline and take tens of
 * microseconds: graphene makes an object for each cipher and signature, looks each attribute up among a hundred, asks
 * the module for a new object's class, and gives every output kilobytes of room. Its answers and errors are the same.
 * `size` is the bytes of room for the output.
 */

type Binding = Session['lib'];
type Attributes = Parameters<Binding['C_CreateObject']>[1];
type Handle = Session['handle'];

/** CKA_VALUE. */
export const VALUE = 0x11;

/** A template as the binding takes it, for use again and again. */
export function toAttributes(template: ITemplate): Attributes {
  return Template.toPkcs11(template);
}

export function encrypt(
  session: Session,
  algorithm: IAlgorithm,
  key: Key,
  data: Buffer,
  size: number,
): Buffer {
  const { handle, lib } = session;
  lib.C_EncryptInit(handle, Mechanism.create(algorithm), key.handle);
  return lib.C_Encrypt(handle, data, Buffer.allocUnsafe(size));
}

/** `onBegun` is called between the two calls. */
export function decrypt(
  session: Session,
  algorithm: IAlgorithm,
  key: Key,
  data: Buffer,
  size: number,
  onBegun: () => void,
): Buffer {
  const { handle, lib } = session;
  lib.C_DecryptInit(handle, Mechanism.create(algorithm), key.handle);
  onBegun();
  return lib.C_Decrypt(handle, data, Buffer.alloc(size));
}

export function sign(
  session: Session,
  algorithm: IAlgorithm,
  key: Key,
  data: Buffer,
  size: number,
): Buffer {
  const { handle, lib } = session;
  lib.C_SignInit(handle, Mechanism.create(algorithm), key.handle);
  return lib.C_Sign(handle, data, Buffer.allocUnsafe(size));
}

/** `onBegun`, where there is one, is called between the two calls. */
export function verify(
  session: Session,
  algorithm: IAlgorithm,
  key: Key,
  data: Buffer,
  signature: Buffer,
  onBegun?: () => void,
): boolean {
  const { handle, lib } = session;
  lib.C_VerifyInit(handle, Mechanism.create(algorithm), key.handle);
  onBegun?.();
  return lib.C_Verify(handle, data, signature);
}

/** Wraps an object that is there for nothing else. */
export function wrapOnce(
  session: Session,
  algorithm: IAlgorithm,
  key: Key,
  attributes: Attributes,
  size: number,
): Buffer {
  const { handle, lib } = session;
  const object = lib.C_CreateObject(handle, attributes);
  try {
    const output = Buffer.allocUnsafe(size);
    return lib.C_WrapKey(handle, Mechanism.create(algorithm), key.handle, object, output);
  } finally {
    lib.C_DestroyObject(handle, object);
  }
}

export function unwrap(
  session: Session,
  algorithm: IAlgorithm,
  key: Key,
  wrapped: Buffer,
  attributes: Attributes,
): Handle {
  const { handle, lib } = session;
  return lib.C_UnwrapKey(handle, Mechanism.create(algorithm), key.handle, wrapped, attributes);
}

/** The value of an object that is there for nothing else. */
export function readOnce({ handle, lib }: Session, object: Handle): Buffer {
  try {
    // The binding writes what it reads into the template.
    const value = lib.C_GetAttributeValue(handle, object, [{ type: VALUE }])[0]?.value;
    if (!Buffer.isBuffer(value)) throw new Error('the module gave no bytes for value');
    return value;
  } finally {
    lib.C_DestroyObject(handle, object);
  }
}
