import { type ITemplate, type Key } from 'graphene-pk11';

/** One attribute of an object, as bytes. @throws Error when the module gives something else */
export function readBytes(key: Key, name: keyof ITemplate): Buffer {
  const value: unknown = key.getAttribute({ [name]: null })[name];
  if (!Buffer.isBuffer(value)) throw new Error(`the module gave no bytes for ${name}`);
  return value;
}
