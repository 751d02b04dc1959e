import graphene, { type ITemplate, type MechanismType, type Session } from 'graphene-pk11';
import { pkcs11Error } from './return-values.ts';

const { Mechanism, ObjectClass, Template: Templates } = graphene;

/**
 * The calls of PKCS#11, each as the binding has it: synchronous, on a session, with objects by their handles. Handles hold
 * in every thread of a process, so they are plain data. `size` is the room for an output, in bytes.
 *
 * graphene has objects around the same calls. They are not used here: it makes one for each cipher and signature, looks
 * each attribute up among a hundred, asks the module for the class of each new object, and gives outputs kilobytes of room.
 */

type Binding = Session['lib'];
/** CK_OBJECT_HANDLE or CK_SESSION_HANDLE. */
export type Handle = Session['handle'];
/** An open session; graphene's Session is one. */
export interface ModuleSession {
  readonly lib: Binding;
  readonly handle: Handle;
}
/** A template as the binding takes it. */
export type Attributes = Parameters<Binding['C_CreateObject']>[1];

/** A template by the binding's names of attributes, with those of PKCS#11 3.2 that it doesn't know. */
export interface Template extends ITemplate {
  /** CKP_ML_DSA_44 and so on. */
  readonly parameterSet?: number | null;
  /** Of an ML-DSA private key: what it follows from. */
  readonly seed?: Buffer | null;
}

graphene.registerAttribute('parameterSet', 0x61d, 'number');
graphene.registerAttribute('seed', 0x637, 'buffer');

/** CKA_VALUE. */
export const VALUE = 0x11;

export function toAttributes(template: Template): Attributes {
  return Templates.toPkcs11(template);
}

/** A message without bytes, at an address: some modules refuse a null one, others C_SignFinal without an update. */
const NOTHING = Buffer.alloc(1).subarray(0, 0);

export function randomBytes({ handle, lib }: ModuleSession, count: number): Buffer {
  const bytes = Buffer.allocUnsafe(count);
  lib.C_GenerateRandom(handle, bytes);
  return bytes;
}

export function encrypt(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  key: Handle,
  data: Buffer,
  size: number,
): Buffer {
  lib.C_EncryptInit(handle, Mechanism.create(algorithm), key);
  const output = Buffer.allocUnsafe(size);
  return data.length === 0
    ? lib.C_EncryptFinal(handle, output)
    : lib.C_Encrypt(handle, data, output);
}

/** `onBegun`, where there is one, is called between the two calls. */
export function decrypt(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  key: Handle,
  data: Buffer,
  size: number,
  onBegun?: () => void,
): Buffer {
  lib.C_DecryptInit(handle, Mechanism.create(algorithm), key);
  onBegun?.();
  return lib.C_Decrypt(handle, data, Buffer.alloc(size));
}

/** Encrypts data in parts, each by a call of `update`, which gives as many bytes as it is given. */
export function encryptParts<T>(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  key: Handle,
  use: (update: (part: Buffer) => Buffer) => T,
): T {
  lib.C_EncryptInit(handle, Mechanism.create(algorithm), key);
  // A failed update has ended the operation; after the last good one it must be ended, or the session takes no other.
  const result = use((part) => lib.C_EncryptUpdate(handle, part, Buffer.allocUnsafe(part.length)));
  lib.C_EncryptFinal(handle, Buffer.allocUnsafe(ROOM_FOR_A_BLOCK));
  return result;
}

/** As encryptParts, the other way. */
export function decryptParts<T>(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  key: Handle,
  use: (update: (part: Buffer) => Buffer) => T,
): T {
  lib.C_DecryptInit(handle, Mechanism.create(algorithm), key);
  const result = use((part) => lib.C_DecryptUpdate(handle, part, Buffer.allocUnsafe(part.length)));
  lib.C_DecryptFinal(handle, Buffer.allocUnsafe(ROOM_FOR_A_BLOCK));
  return result;
}

const ROOM_FOR_A_BLOCK = 16;

export function sign(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  key: Handle,
  data: Buffer,
  size: number,
): Buffer {
  lib.C_SignInit(handle, Mechanism.create(algorithm), key);
  return lib.C_Sign(handle, data.length === 0 ? NOTHING : data, Buffer.allocUnsafe(size));
}

/** `onBegun`, where there is one, is called between the two calls. */
export function verify(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  key: Handle,
  data: Buffer,
  signature: Buffer,
  onBegun?: () => void,
): boolean {
  lib.C_VerifyInit(handle, Mechanism.create(algorithm), key);
  onBegun?.();
  return lib.C_Verify(handle, data.length === 0 ? NOTHING : data, signature);
}

export function generateKey(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  template: Template,
): Handle {
  const attributes = toAttributes({ ...template, class: ObjectClass.SECRET_KEY });
  return lib.C_GenerateKey(handle, Mechanism.create(algorithm), attributes);
}

export function generateKeyPair(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  publicTemplate: Template,
  privateTemplate: Template,
): { readonly publicKey: Handle; readonly privateKey: Handle } {
  return lib.C_GenerateKeyPair(
    handle,
    Mechanism.create(algorithm),
    toAttributes({ ...publicTemplate, class: ObjectClass.PUBLIC_KEY }),
    toAttributes({ ...privateTemplate, class: ObjectClass.PRIVATE_KEY, private: true }),
  );
}

/** A wrapped RSA-4096 key has some 2.4 KB, one of ML-DSA-87 some 5 KB. */
const WRAPPED_LIMIT_BYTES = 8192;

export function wrapKey(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  wrappingKey: Handle,
  key: Handle,
  size = WRAPPED_LIMIT_BYTES,
): Buffer {
  const output = Buffer.allocUnsafe(size);
  return lib.C_WrapKey(handle, Mechanism.create(algorithm), wrappingKey, key, output);
}

export function unwrapKey(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  unwrappingKey: Handle,
  wrapped: Buffer,
  attributes: Attributes,
): Handle {
  return lib.C_UnwrapKey(handle, Mechanism.create(algorithm), unwrappingKey, wrapped, attributes);
}

export function deriveKey(
  { handle, lib }: ModuleSession,
  algorithm: MechanismType,
  baseKey: Handle,
  template: ITemplate,
): Handle {
  return lib.C_DeriveKey(handle, Mechanism.create(algorithm), baseKey, toAttributes(template));
}

export function createObject({ handle, lib }: ModuleSession, attributes: Attributes): Handle {
  try {
    return lib.C_CreateObject(handle, attributes);
  } catch (error) {
    throw asPkcs11Error(error);
  }
}

/** pkcs11js throws the errors of this one function as it gets them from below, without its own name and number. */
function asPkcs11Error(error: unknown): unknown {
  const [, name, code] = /^(CKR_\w+):(\d+)/.exec(error instanceof Error ? error.message : '') ?? [];
  return name === undefined ? error : pkcs11Error(name, Number(code));
}

/** @param template what is to be another than the original's */
export function copyObject(
  { handle, lib }: ModuleSession,
  object: Handle,
  template: ITemplate,
): Handle {
  return lib.C_CopyObject(handle, object, toAttributes(template));
}

/** Handles that the module gives in one call. */
const FOUND_AT_ONCE = 100;

/** The objects that a session sees with all of these attributes, at most so many. */
export function findObjects(
  { handle, lib }: ModuleSession,
  template: ITemplate,
  most: number,
): readonly Handle[] {
  lib.C_FindObjectsInit(handle, toAttributes(template));
  const found: Handle[] = [];
  try {
    while (found.length < most) {
      const more = lib.C_FindObjects(handle, Math.min(FOUND_AT_ONCE, most - found.length));
      if (more.length === 0) break;
      found.push(...more);
    }
  } finally {
    lib.C_FindObjectsFinal(handle);
  }
  return found;
}

export function destroyObject({ handle, lib }: ModuleSession, object: Handle): void {
  lib.C_DestroyObject(handle, object);
}

/** Runs `use` with an object that exists for nothing else, and destroys it. */
export function withObject<T>(
  session: ModuleSession,
  object: Handle,
  use: (object: Handle) => T,
): T {
  try {
    return use(object);
  } finally {
    destroyObject(session, object);
  }
}

/** The attributes that the template names, as the module tells them. */
export function readAttributes(
  { handle, lib }: ModuleSession,
  object: Handle,
  template: Template,
): Template {
  return Templates.fromPkcs11(lib.C_GetAttributeValue(handle, object, toAttributes(template)));
}

/** One attribute of an object, as bytes. @throws Error when the module gives something else */
export function readBytes(session: ModuleSession, object: Handle, name: keyof Template): Buffer {
  const value: unknown = readAttributes(session, object, { [name]: null })[name];
  if (!Buffer.isBuffer(value)) throw new Error(`the module gave no bytes for ${name}`);
  return value;
}

/** CKA_VALUE of an object. */
export function readValue({ handle, lib }: ModuleSession, object: Handle): Buffer {
  // The binding writes what it reads into the template.
  const value = lib.C_GetAttributeValue(handle, object, [{ type: VALUE }])[0]?.value;
  if (!Buffer.isBuffer(value)) throw new Error('the module gave no bytes for value');
  return value;
}
