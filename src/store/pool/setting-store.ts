import { CoherentCache } from '../../core/caching/coherent-cache.ts';
import type { ChangeFeed } from '../../core/caching/change-feed.ts';
import type { SettingStore } from '../../core/pool/ports.ts';
import { changing, reading, type StoreContext } from '../database.ts';

/** As many as there may ever be: all are remembered. */
const SETTINGS_LIMIT = 100;

/** Remembers the settings until one changes. */
export function createSettingStore(context: StoreContext, feed: ChangeFeed): SettingStore {
  const { poolId } = context;
  const cache = new CoherentCache<{ readonly isOn: boolean | undefined }>(
    feed,
    SETTINGS_LIMIT,
    ({ topic, id }) => (topic === 'setting' ? { key: id } : undefined),
  );
  return {
    async findSetting(name) {
      const found = await cache.get(name, () =>
        reading(context, async (db) => {
          const row = await db
            .selectFrom('setting')
            .select('value')
            .where('pool_id', '=', poolId)
            .where('name', '=', name)
            .executeTakeFirst();
          return { isOn: row === undefined ? undefined : row.value === 'true' };
        }),
      );
      return found?.isOn;
    },

    async putSetting(name, isOn, change) {
      const value = isOn ? 'true' : 'false';
      await changing(context, change, { topic: 'setting', id: name }, async (trx) => {
        await trx
          .insertInto('setting')
          .values({ pool_id: poolId, name, value })
          .onConflict((conflict) => conflict.columns(['pool_id', 'name']).doUpdateSet({ value }))
          .execute();
        return true;
      });
    },
  };
}
