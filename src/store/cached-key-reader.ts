import { CoherentCache } from '../core/coherent-cache.ts';
import { type KeyVersion } from '../core/key.ts';
import { type ChangeFeed, type KeyReader } from '../core/ports.ts';

/** Remembers key versions that are asked for by name, until the key changes. One entry a name. */
export function cacheKeys(reader: KeyReader, feed: ChangeFeed, limit: number): KeyReader {
  const cache = new CoherentCache<Map<string, KeyVersion>>(feed, limit, ({ topic, id }) =>
    topic === 'key' ? { key: id } : undefined,
  );
  return {
    ...reader,
    async findKey(name, version) {
      const wanted = version ?? '';
      let direct: KeyVersion | undefined;
      const held = await cache.get(name.toLowerCase(), async () => {
        direct = await reader.findKey(name, version);
        return direct && new Map([[wanted, direct]]);
      });
      if (direct !== undefined || held === undefined) return direct;
      const known = held.get(wanted);
      if (known !== undefined) return known;
      // Another version of a name that is remembered: kept only while that entry still stands.
      const found = await reader.findKey(name, version);
      if (found !== undefined && held.size < VERSIONS_LIMIT) held.set(wanted, found);
      return found;
    },
  };
}

/** A key may have a thousand versions; those in use are few. */
const VERSIONS_LIMIT = 16;
