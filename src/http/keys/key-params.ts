import { type KeyName, parseKeyName, parseKeyVersionId } from '../../core/keys/key.ts';
import { keyScope } from '../../core/access/role.ts';

type RawParams = Readonly<Record<string, string | undefined>>;

export function keyOf(raw: RawParams) {
  return { name: parseKeyName(raw['name'] ?? '') };
}

/** The version is undefined where the path names none. */
export function keyVersionOf(raw: RawParams) {
  return {
    ...keyOf(raw),
    version: raw['version'] === undefined ? undefined : parseKeyVersionId(raw['version']),
  };
}

export function keyNameOf({ name }: { readonly name: KeyName }) {
  return name;
}

export function keyScopeOf({ name }: { readonly name: KeyName }) {
  return keyScope(name);
}
