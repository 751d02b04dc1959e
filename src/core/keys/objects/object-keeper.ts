import type { Clock } from '../../clock.ts';
import { ServiceError } from '../../errors.ts';
import type { KeyIdentity, KeyMaterial, KeyName, KeyVersionId } from '../key.ts';
import { type BeginObjects, newObjectId, type ObjectIds } from './object-id.ts';
import { judgePermit, type ObjectPermit, permit } from './permit.ts';
import { permitRemoval, type RemovalProver } from './removal-permits.ts';
import type { DoomedObject, HsmObjects, ObjectLedger, ObjectUse } from './ports.ts';

export interface ObjectKeeperParts {
  readonly hsm: HsmObjects & RemovalProver;
  readonly ledger: ObjectLedger;
  readonly clock: Clock;
  /** Of token objects, whoever made them; unknown where absent. */
  readonly limit?: number | undefined;
  /** The HSM is nearly full; again only once it wasn't in between. */
  readonly onNearlyFull: (use: ObjectUse) => void;
  /** They stay, since nothing permits to destroy them: `strongroom doctor` tells of them. */
  readonly onRefused: (objects: readonly DoomedObject[]) => void;
  /** Something is left for the next mending. */
  readonly onError: (error: unknown) => void;
}

/** The slowest key waits a minute for its turn, and takes another one: who is at it for longer has died. */
export const ABANDONED_AFTER_SECONDS = 600;
const NEARLY_FULL = 0.9;

export type ObjectKeeper = ReturnType<typeof createObjectKeeper>;

/**
 * Keeps a resident pool's objects and its rows together. An object is there exactly if a key's row or the ledger tells of
 * it; what the ledger alone tells of is in the making, or is destroyed.
 */
export function createObjectKeeper(parts: ObjectKeeperParts) {
  const { hsm, ledger, clock, limit, onNearlyFull, onRefused, onError } = parts;
  /** Of other pools and programs, and the pool's own root key. */
  let others = 0;
  let used = 0;
  let isNearlyFull = false;

  function tell(now: number): ObjectUse {
    used = now;
    const was = isNearlyFull;
    isNearlyFull = limit !== undefined && now >= NEARLY_FULL * limit;
    if (isNearlyFull && !was) onNearlyFull({ used, limit });
    return { used, limit };
  }

  /** The HSM is away: what isn't permitted now stays, and `strongroom doctor` tells of it. */
  function noPermits(error: unknown): readonly ObjectPermit[] {
    onError(error);
    return [];
  }

  /** @throws ServiceError HsmFull */
  async function begin(
    { private: first, mac }: ObjectIds,
    identity: KeyIdentity,
    hasMac: boolean,
  ): Promise<void> {
    const room = limit === undefined ? undefined : limit - others;
    const objects = hasMac ? [first, mac] : [first];
    const time = Math.floor(clock.now().getTime() / 1000);
    const permits = await permit(hsm, objects, identity, { kind: 'making', time });
    const count = await ledger.begin(permits, identity, room).catch(async (error: unknown) => {
      // They may be on record all the same.
      await ledger.strike(objects).catch(onError);
      throw error;
    });
    if (limit === undefined || room === undefined) return;
    tell(Math.min(others + count, limit));
    if (count > room)
      throw new ServiceError(
        'HsmFull',
        `The HSM of this pool has room for ${limit} objects (PKCS11_OBJECT_LIMIT), and they are all taken: purge deleted keys, or give the HSM more room.`,
      );
  }

  async function destroyDoomed(): Promise<number> {
    let destroyed = 0;
    for (;;) {
      const claimed = await ledger.claimDoomed();
      if (claimed.length === 0) return destroyed;
      const doomed = await permitted(claimed);
      const found = new Set(await hsm.destroyObjects(doomed.map(({ id }) => id)));
      // One that isn't there may yet appear, while whoever was told to make it lives.
      const isGone = ({ id, isOver }: DoomedObject) => isOver || found.has(id);
      await ledger.strike(doomed.filter(isGone).map(({ id }) => id));
      await ledger.noteAbsent(doomed.filter((object) => !isGone(object)).map(({ id }) => id));
      destroyed += found.size;
    }
  }

  /** Those of them that may be destroyed now. */
  async function permitted(claimed: readonly DoomedObject[]): Promise<readonly DoomedObject[]> {
    const good = [];
    const refused = [];
    for (const object of claimed) {
      const verdict = await judgePermit(hsm, object);
      if (verdict === 'good') good.push(object);
      else if (verdict !== 'early') refused.push(object);
    }
    if (refused.length > 0) {
      await ledger.setAside(refused.map(({ id }) => id));
      onRefused(refused);
    }
    return good;
  }

  /**
   * What can't be done now is done by the next mending.
   * @param objects that there are now or never will be; where absent, the HSM may still be at them
   */
  async function discard(version: KeyVersionId, objects?: ObjectIds): Promise<void> {
    try {
      await ledger.giveUp(version, objects !== undefined);
      if (objects !== undefined) {
        const all = [objects.private, objects.mac];
        await hsm.destroyObjects(all);
        await ledger.strike(all);
      } else await destroyDoomed();
    } catch (error) {
      onError(error);
    }
  }

  async function discardMade(version: KeyVersionId): Promise<void> {
    await ledger
      .giveUp(version, true)
      .then(destroyDoomed)
      .catch((error: unknown) => {
        onError(error);
      });
  }

  return {
    /**
     * Makes a key's objects, which are on record before. Where that fails, they are destroyed.
     * @param make begins them when all else is done that may refuse the key: until then it takes no place
     * @throws ServiceError HsmFull, and what `make` throws
     */
    async making<T>(
      identity: KeyIdentity,
      hasMac: boolean,
      make: (begun: BeginObjects) => Promise<T>,
    ): Promise<T> {
      const objects = { private: newObjectId(), mac: newObjectId() };
      let begun: Promise<void> | undefined;
      const record = { isMade: false };
      try {
        return await make(async () => {
          await (begun ??= begin(objects, identity, hasMac));
          record.isMade = true;
          return objects;
        });
      } catch (error) {
        if (record.isMade) await discard(identity.version, isAnswer(error) ? objects : undefined);
        throw error;
      }
    },

    /** Writes a key's row, whose transaction strikes its objects off the ledger. Where there comes none, they are destroyed. */
    async writing<T>(
      version: KeyVersionId,
      write: () => Promise<T>,
      isWritten: (result: T) => boolean,
    ): Promise<T> {
      try {
        const result = await write();
        if (!isWritten(result)) await discardMade(version);
        return result;
      } catch (error) {
        // Where the row was written all the same, there is nothing on the ledger that could be given up.
        await discardMade(version);
        throw error;
      }
    },

    /** Lets a deleted key's objects be destroyed once it is purged, from its date on. */
    async deleted(name: KeyName, purgeAt: number): Promise<void> {
      const permits = await permitRemoval(hsm, () => ledger.findMaterials(name), purgeAt).catch(
        noPermits,
      );
      await ledger.retain(permits).catch(onError);
    },

    /** Removes rows of keys, and destroys what is left of them. @param find keys that may be removed, with their objects */
    async removing<T>(
      find: () => Promise<readonly KeyMaterial[]>,
      remove: () => Promise<T>,
      isRemoved: (result: T) => boolean,
    ): Promise<T> {
      const permits = await permitRemoval(hsm, find, 0).catch(noPermits);
      const result = await remove();
      if (isRemoved(result))
        await ledger
          .permit(permits)
          .then(destroyDoomed)
          .catch((error: unknown) => {
            onError(error);
          });
      return result;
    },

    /** What the rows of a key say, for `removing`. */
    materialsOf: (name: KeyName) => ledger.findMaterials(name),

    /** Destroys what was left when a deleted key was purged on its date. */
    async removed(): Promise<void> {
      await destroyDoomed().catch(onError);
    },

    /** Destroys what a crash has left, once nobody can be at it any more. @returns how many objects */
    async mend(): Promise<number> {
      await ledger.giveUpOlderThan(ABANDONED_AFTER_SECONDS);
      return destroyDoomed();
    },

    /** Counts the objects in the HSM, which reads all of them, and so learns how many are others'. */
    async look(): Promise<ObjectUse> {
      const { all, own } = await hsm.countObjects();
      others = all - own;
      return tell(others + (await ledger.count()));
    },

    /** With those of others, as last seen. */
    async use(): Promise<ObjectUse> {
      return tell(others + (await ledger.count()));
    },

    /** As last counted. */
    get lastUse(): ObjectUse {
      return { used, limit };
    },
  };
}

/** Whether the HSM has come to an end with what it was asked; else it didn't answer in time, or was lost over it. */
function isAnswer(error: unknown): boolean {
  return error instanceof ServiceError && error.code !== 'HsmUnavailable';
}
