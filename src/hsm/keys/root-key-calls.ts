import { ServiceError } from '../../core/errors.ts';
import type { RootSecrets } from '../../core/keys/hsm.ts';
import type { KeyMaterial, VerifiedMaterial } from '../../core/keys/key.ts';
import type {
  KeyRewrapper,
  RewrapSource,
  RewrapTarget,
  RootKeyCarrier,
  RootKeyMaker,
  RootKeyMemory,
} from '../../core/recovery/root-keys/root-key-hsm.ts';
import type { UploadProver } from '../../core/recovery/security-domain/uploaded-domain.ts';
import type { KeyCalls } from '../key-calls.ts';
import { type Connection, requireGeneration, requireRootKeys } from '../module/connection.ts';
import { faultOf, hsmUnavailable } from '../module/errors.ts';
import type { LiveConnection } from '../module/live-connection.ts';
import type { Roots } from '../module/open-module.ts';
import { withoutOpenSslErrors } from '../module/openssl-errors.ts';
import { returnValue } from '../module/return-values.ts';
import { BACKUP_GENERATION } from './backup-keys.ts';
import { BackupPairs } from './backup-pairs.ts';
import { createRootKeys, nextFreeGeneration, type RootKeys } from './root-keys.ts';
import {
  ARCHIVE_KEY_PARTS,
  BACKUP_KEY_PARTS,
  brokenSeal,
  CURSOR_KEY_PART,
  OUTLIVING_BACKUP_KEY_PARTS,
  retirementBytes,
  retirementListBytes,
  rootCheckBytes,
  UPLOAD_KEY_PART,
  voucherBytes,
} from './seal.ts';

/** What is done with root keys of several generations, and with backup keys, which are used as root keys are. */
export interface RootKeyCalls
  extends KeyRewrapper, RootKeyCarrier, RootKeyMaker, RootKeyMemory, RootSecrets, UploadProver {
  /**
   * The pairs of backup keys, as the store has them now.
   * @param own oldest first @param others of a pool whose root keys the HSM holds besides: they open, and make nothing
   */
  openBackupKeys(own: readonly KeyMaterial[], others?: readonly KeyMaterial[]): void;
  /** 32 bytes for the MAC of cursors: each process that serves the pool has the same. */
  cursorKey(): Promise<Uint8Array>;
}

export interface RootKeyCallsParts {
  readonly calls: KeyCalls;
  readonly live: LiveConnection;
  readonly roots: () => Roots | undefined;
  /** What a connection that is made anew looks for. */
  readonly setRoots: (roots: Roots) => void;
  readonly log: (level: 'warn', message: string, details: object) => void;
}

export function createRootKeyCalls({ calls, live, ...parts }: RootKeyCallsParts): RootKeyCalls {
  const pairs = new BackupPairs();

  function requireRoots(): Roots {
    const roots = parts.roots();
    if (roots === undefined) throw new TypeError('root keys have a pool');
    return roots;
  }

  /** By which a key is wrapped and sealed now. */
  async function sourceOf(
    on: Connection,
    { sealed, identity }: KeyMaterial,
    { pair }: RewrapSource,
  ): Promise<RootKeys> {
    if (pair !== undefined) return pairs.on(on, pair);
    if (sealed.rootGeneration === BACKUP_GENERATION) throw brokenSeal(identity);
    return requireGeneration(on, sealed.rootGeneration);
  }

  async function targetOf(on: Connection, target: RewrapTarget): Promise<RootKeys> {
    if (target === 'current') return requireRootKeys(on);
    if ('pair' in target) return pairs.on(on, target.pair);
    return requireGeneration(on, target.generation, target.poolId);
  }

  const derive = (partsOfKey: readonly Buffer[], by: (on: Connection) => Promise<RootKeys>) =>
    calls.attempt(async (on) => {
      const rootKeys = await by(on);
      return Buffer.concat(await Promise.all(partsOfKey.map((part) => on.mac(part, rootKeys))));
    }, true);

  /** 32 bytes that stay the same when root keys change. */
  function outliving(part: Buffer): Promise<Uint8Array> {
    // The oldest pair stays as long as the pool does, whoever has heard of newer ones.
    const [oldest] = pairs.own;
    if (oldest === undefined) return derive([part], current);
    return derive([part], (on) => pairs.on(on, oldest)).catch((error: unknown) => {
      if (!isLack(error)) throw error;
      // Nothing that is served needs them: here, what is made of them ends with the root keys.
      return derive([part], current);
    });
  }

  const destroy = (generation: number, poolId = requireRoots().poolId) =>
    calls.attempt(async (on) => {
      await on.dispatcher.run('destroyRootKeys', [poolId, generation]);
      on.generations.clear();
    }, true);

  const current = (on: Connection) => Promise.resolve(requireRootKeys(on));

  const listUsed = (on: Connection, poolId = requireRoots().poolId) =>
    on.dispatcher.run('listMarked', [poolId, 'root-used']);

  /** A token that is full takes no more, and its pool is served all the same. */
  async function remember(on: Connection): Promise<void> {
    const { poolId, generation } = requireRoots();
    try {
      await on.dispatcher.run('putMark', [poolId, 'root-used', generation]);
    } catch (error) {
      if (returnValue(error) === undefined || faultOf(error) === 'handle') throw error;
      const what = 'the HSM does not remember that these root keys are in use';
      parts.log('warn', what, { generation, err: error });
    }
  }

  const checkOf = (on: Connection, rootKeys: RootKeys) =>
    on.mac(rootCheckBytes(rootKeys.poolId), rootKeys);

  return {
    get backupPairs() {
      return pairs.own;
    },
    get openablePairs() {
      return pairs.openable;
    },
    openBackupKeys(own, others = []) {
      pairs.open(own, others);
    },
    backupKey: (pair) =>
      pair === undefined
        ? derive(BACKUP_KEY_PARTS, current)
        : derive(OUTLIVING_BACKUP_KEY_PARTS, (on) => pairs.on(on, pair)),
    archiveKey: (pair) => derive(ARCHIVE_KEY_PARTS, (on) => pairs.on(on, pair)),
    earlierBackupKeys: (generations) =>
      Promise.all(
        generations.map((generation) =>
          derive(BACKUP_KEY_PARTS, (on) => requireGeneration(on, generation)),
        ),
      ),

    cursorKey: () => outliving(CURSOR_KEY_PART),
    uploadKey: () => outliving(UPLOAD_KEY_PART),

    rewrap: (material, target, source = {}) =>
      calls.attempt(
        async (on) => {
          const identity = source.identity ?? material.identity;
          const from = await sourceOf(on, material, source);
          const to = await targetOf(on, target);
          const input = [from, to, material, identity] as const;
          const sealed = await on.dispatcher
            .run('rewrap', [...input], material.identity.name)
            .catch((error: unknown) => {
              throw isUnwrapRefusal(error) ? brokenSeal(material.identity, error) : error;
            });
          return { ...material, identity, sealed } as KeyMaterial as VerifiedMaterial;
        },
        true,
        undefined,
        material.identity.name,
      ),

    async makeRootKeys(after) {
      const { poolId } = requireRoots();
      const on = live.current;
      if (on === undefined) throw hsmUnavailable(undefined);
      const { loginSession } = on.token;
      const rootKeys = withoutOpenSslErrors(() => {
        const generation = nextFreeGeneration(loginSession, poolId, after);
        return createRootKeys(loginSession, poolId, generation);
      });
      on.generations.clear();
      return { generation: rootKeys.generation, rootCheck: await checkOf(on, rootKeys) };
    },

    listRootGenerations: (poolId = requireRoots().poolId) =>
      calls.attempt((on) => on.dispatcher.run('listRootGenerations', [poolId, 'one part']), true),

    listWholeGenerations: () =>
      calls.attempt(
        (on) => on.dispatcher.run('listRootGenerations', [requireRoots().poolId, 'both parts']),
        true,
      ),

    rootGeneration: () => requireRoots().generation,

    voucher: (by, generation) =>
      calls.attempt(async (on) => {
        const older = await requireGeneration(on, by);
        const rootCheck = await checkOf(on, await requireGeneration(on, generation));
        return on.mac(voucherBytes(older.poolId, by, generation, rootCheck), older);
      }, true),

    retirementList: (generation, retires) =>
      calls.attempt(async (on) => {
        const rootKeys = await requireGeneration(on, generation);
        return on.mac(retirementListBytes(rootKeys.poolId, generation, retires), rootKeys);
      }, true),

    holdsRootKeys: (generation, rootCheck) =>
      calls.attempt(async (on) => {
        on.generations.clear();
        const rootKeys = await on.generations.find(requireRoots().poolId, generation);
        return rootKeys !== undefined && (await checkOf(on, rootKeys)).equals(rootCheck);
      }, true),

    useRootKeys: (generation, rootCheck) =>
      calls.attempt(async (on) => {
        const { poolId } = requireRoots();
        // Those that it knows may be gone by now.
        on.generations.clear();
        if (on.rootKeys?.generation === generation) return true;
        // Generations only ever grow: whoever writes older ones into the database would have everything sealed by them.
        if (on.rootKeys !== undefined && generation < on.rootKeys.generation) return false;
        const rootKeys = await on.generations.find(poolId, generation);
        if (rootKeys === undefined || !(await checkOf(on, rootKeys)).equals(rootCheck))
          return false;
        parts.setRoots({ ...requireRoots(), generation });
        on.rootKeys = rootKeys;
        await remember(on);
        return true;
      }, true),

    listUsedGenerations: (poolId) => calls.attempt((on) => listUsed(on, poolId), true),

    rememberUsed: () => calls.attempt(remember, true),

    forgetNewer: () =>
      calls.attempt(async (on) => {
        const { poolId, generation } = requireRoots();
        for (const used of await listUsed(on))
          if (used > generation) await on.dispatcher.run('removeMark', [poolId, 'root-used', used]);
      }, true),

    listBrought: (poolId) =>
      calls.attempt((on) => on.dispatcher.run('listMarked', [poolId, 'root-brought']), true),

    rememberBrought: (poolId, generation) =>
      calls.attempt(
        (on) => on.dispatcher.run('putMark', [poolId, 'root-brought', generation]),
        true,
      ),

    retirementProof: (generation) =>
      calls.attempt((on) => on.mac(retirementBytes(requireRoots().poolId, generation)), true),

    async destroyRootKeys(generation) {
      if (generation >= requireRoots().generation)
        throw new TypeError('the current root keys are not destroyed');
      await destroy(generation);
    },

    exportRootKeys: (after, by) =>
      calls.attempt(async (on) => {
        const { poolId } = requireRoots();
        const exported = await on.dispatcher.run('exportRootKeys', [poolId, after, by]);
        on.generations.clear();
        return exported;
      }, false),

    async discardRootKeys(generation) {
      if (generation <= requireRoots().generation)
        throw new TypeError("the pool's own root keys are not discarded");
      await destroy(generation);
    },

    async destroyBrought(poolId, generation) {
      if (poolId === requireRoots().poolId)
        throw new TypeError("the pool's own root keys were not brought in");
      await destroy(generation, poolId);
    },

    async destroyRootKeysOf(poolId) {
      if (parts.roots() !== undefined)
        throw new TypeError('an HSM that is open for a pool destroys no pool');
      const generations = await calls.attempt(
        (on) => on.dispatcher.run('listRootGenerations', [poolId, 'one part']),
        true,
      );
      for (const generation of generations) await destroy(generation, poolId);
    },

    importRootKeys: (keys, by, backupKeys) =>
      calls.attempt(async (on) => {
        await on.dispatcher.run('importRootKeys', [keys, by, backupKeys]);
        on.generations.clear();
      }, true),
  };
}

/** The module doesn't open the backup keys, which another one has wrapped. */
function isLack(error: unknown): boolean {
  return error instanceof ServiceError && error.code === 'BadParameter';
}

/** The seal was right, so these bytes were wrapped by a root key of this generation: the HSM holds another one. */
function isUnwrapRefusal(error: unknown): boolean {
  return returnValue(error)?.startsWith('CKR_WRAPPED_KEY_') === true;
}
