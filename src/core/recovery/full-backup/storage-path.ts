import { ServiceError } from '../../errors.ts';

/** Begins with no dot: neither a way up, nor one of the files that storages make for themselves. */
const PART = /^[a-z0-9_][a-z0-9._-]{0,127}$/i;
const PARTS_LIMIT = 10;

/**
 * The parts of a folder's or a file's path in a storage, such as `mhsm-main-20261128070000-5f3c09ab/manifest.json`. Folders may come
 * from callers: what could lead out of the storage, or mean something else to it, is refused.
 * @throws ServiceError BadParameter
 */
export function partsOf(path: string): readonly string[] {
  const parts = path.split('/');
  if (parts.length <= PARTS_LIMIT && parts.every((part) => PART.test(part))) return parts;
  throw new ServiceError(
    'BadParameter',
    `A folder of a backup has at most ${PARTS_LIMIT} names with slashes between them, each of letters, digits, "-", "_" and ".", and none that begins with a dot or a hyphen.`,
  );
}
