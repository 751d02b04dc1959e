import graphene, { type ITemplate } from 'graphene-pk11';

const { KeyType, ObjectClass } = graphene;

/** `root-wrap` (AES-256) wraps and unwraps, `root-seal` (HMAC-SHA256) signs and verifies; neither does anything else. */
export type RootPart = 'root-wrap' | 'root-seal';
export const ROOT_PARTS: readonly RootPart[] = ['root-wrap', 'root-seal'];

/** `root-used`: they have been the current ones of their pool. `root-brought`: another pool's upload has brought them in. */
export type RootMark = 'root-used' | 'root-brought';
export const ROOT_MARKS: readonly RootMark[] = ['root-used', 'root-brought'];

const BYTES = 32;

/** Both parts of all generations of a pool, and other things. */
export const ROOT_KEY_CLASS: ITemplate = { class: ObjectClass.SECRET_KEY, token: true };

/** The generation of a pool's root key, by its CKA_ID; undefined for other objects. */
export function generationIn(id: Buffer, poolId: string): number | undefined {
  const [pool, part, number] = id.toString().split(':');
  const isRootKey = pool === poolId && ROOT_PARTS.some((known) => known === part);
  return isRootKey ? Number(number) : undefined;
}

/** The generation of a pool that a mark is of, by its CKA_ID; undefined for other objects. */
export function generationMarked(id: Buffer, poolId: string, mark: RootMark): number | undefined {
  const [pool, name, number] = id.toString().split(':');
  return pool === poolId && name === mark ? Number(number) : undefined;
}

/** Marks of all pools and generations. */
export function markSearch(mark: RootMark): ITemplate {
  return { ...ROOT_KEY_CLASS, label: `strongroom ${mark}` };
}

/** By which a part is found. */
export function rootKeySearch(part: RootPart, poolId: string, generation: number): ITemplate {
  return {
    class: ObjectClass.SECRET_KEY,
    token: true,
    label: `strongroom ${part} ${generation}`,
    id: Buffer.from(`${poolId}:${part}:${generation}`),
  };
}

/** Modules switch usages on that a template doesn't mention. */
const NOTHING = {
  encrypt: false,
  decrypt: false,
  sign: false,
  verify: false,
  wrap: false,
  unwrap: false,
  derive: false,
};

const KIND: Readonly<Record<RootPart, { readonly keyType: number; readonly usage: ITemplate }>> = {
  'root-wrap': { keyType: KeyType.AES, usage: { ...NOTHING, wrap: true, unwrap: true } },
  'root-seal': {
    keyType: KeyType.GENERIC_SECRET,
    usage: { ...NOTHING, sign: true, verify: true },
  },
};

const STAYS = { private: true, sensitive: true, extractable: false };

/** A key of no use, whose name is what it says. */
export function markTemplate(mark: RootMark, poolId: string, generation: number): ITemplate {
  return {
    ...markSearch(mark),
    ...STAYS,
    id: Buffer.from(`${poolId}:${mark}:${generation}`),
    keyType: KeyType.AES,
    ...NOTHING,
    modifiable: false,
    valueLen: BYTES,
  };
}

/** A token object, as C_UnwrapKey takes it, which wants no length. */
export function rootKey(part: RootPart, poolId: string, generation: number): ITemplate {
  const { keyType, usage } = KIND[part];
  return { ...rootKeySearch(part, poolId, generation), ...STAYS, keyType, ...usage };
}

/** The same that the HSM makes. */
export function generatedRootKey(part: RootPart, poolId: string, generation: number): ITemplate {
  return { ...rootKey(part, poolId, generation), modifiable: false, valueLen: BYTES };
}

/** What a copy of `triedRootKey` is to be besides. */
export function copiedRootKey(part: RootPart, poolId: string, generation: number): ITemplate {
  const { token, label, id } = rootKeySearch(part, poolId, generation);
  return { token, label, id, modifiable: false } as ITemplate;
}

/** A session object that can't leave: one that is tried before it is let into the token. */
export function triedRootKey(part: RootPart): ITemplate {
  const { keyType, usage } = KIND[part];
  return { class: ObjectClass.SECRET_KEY, token: false, ...STAYS, keyType, ...usage };
}

/** One that is to be wrapped for another HSM, from one call to the next and no longer. Good for nothing else. */
export function leavingRootKey(part: RootPart): ITemplate {
  return {
    class: ObjectClass.SECRET_KEY,
    token: false,
    private: true,
    sensitive: true,
    extractable: true,
    keyType: KIND[part].keyType,
    valueLen: BYTES,
    ...NOTHING,
  };
}

/** The one-time key by which they are wrapped: from outside, since whoever opens them needs it. */
export function carryingKey(value: Uint8Array): ITemplate {
  return {
    class: ObjectClass.SECRET_KEY,
    token: false,
    ...STAYS,
    keyType: KeyType.AES,
    ...KIND['root-wrap'].usage,
    value: Buffer.from(value),
  };
}

/** A key that is wrapped to see later whether the right `root-wrap` opens it; and the same as C_UnwrapKey takes it. */
export function probedKey(isNew: boolean): ITemplate {
  return {
    class: ObjectClass.SECRET_KEY,
    token: false,
    private: true,
    sensitive: true,
    extractable: isNew,
    keyType: KeyType.AES,
    ...NOTHING,
    ...(isNew && { valueLen: BYTES }),
  };
}
