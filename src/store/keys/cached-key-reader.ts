import { CoherentCache } from '../../core/caching/coherent-cache.ts';
import type { KeyVersion } from '../../core/keys/key.ts';
import type { ChangeFeed } from '../../core/caching/change-feed.ts';
import type { KeyReader } from '../../core/keys/ports.ts';
import { halvesOf } from './key-rows.ts';

/**
 * Remembers key versions that are asked for by name, until the key changes. One entry a name.
 * @param limitBytes of all that is remembered, as far as it can be estimated
 */
export function cacheKeys<Found extends KeyVersion>(
  reader: KeyReader<Found>,
  feed: ChangeFeed,
  limitBytes: number,
): KeyReader<Found> {
  const cache = new CoherentCache<Map<string, Found>>(
    feed,
    limitBytes,
    ({ topic, id }) => (topic === 'key' ? { key: id } : undefined),
    (versions) => [...versions.values()].reduce((sum, version) => sum + bytesOf(version), 0),
  );
  return {
    ...reader,
    findKey(name, version) {
      const wanted = version ?? '';
      return cache.getPart(name.toLowerCase(), wanted, {
        find: (versions) => versions.get(wanted),
        load: () => reader.findKey(name, version),
        add: (versions = new Map<string, Found>(), found) =>
          versions.size < VERSIONS_LIMIT ? versions.set(wanted, found) : versions,
      });
    },
  };
}

/** A key may have a thousand versions; those in use are few. */
const VERSIONS_LIMIT = 16;

/** What V8 takes for the objects of a version, names and what remembers them, measured; and for an array of bytes. */
const OBJECTS_BYTES = 1_100;
const ARRAY_BYTES = 250;

/** What a version takes in memory: an estimate, of what a caller can make large above all. */
function bytesOf({ material, tags }: KeyVersion): number {
  const { identity, publicKey, sealed } = material;
  const halves = halvesOf(publicKey).reduce(
    (sum, half) => sum + (half === undefined ? 0 : ARRAY_BYTES + half.length),
    0,
  );
  const text = Object.entries(tags).reduce(
    (sum, [key, value]) => sum + key.length + value.length,
    0,
  );
  return (
    OBJECTS_BYTES +
    halves +
    sealed.blob.length +
    (sealed.macBlob?.length ?? 0) +
    2 * (text + (identity.releasePolicy?.data.length ?? 0))
  );
}
