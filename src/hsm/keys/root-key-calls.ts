import { ServiceError } from '../../core/errors.ts';
import type { RootSecrets } from '../../core/keys/hsm.ts';
import type { KeyMaterial, VerifiedMaterial } from '../../core/keys/key.ts';
import type { KeyRewrapper, RootKeyMaker } from '../../core/recovery/root-keys/root-key-hsm.ts';
import type { KeyCalls } from '../key-calls.ts';
import { type Connection, requireGeneration, requireRootKeys } from '../module/connection.ts';
import { hsmUnavailable } from '../module/errors.ts';
import type { LiveConnection } from '../module/live-connection.ts';
import type { Roots } from '../module/open-module.ts';
import { withoutOpenSslErrors } from '../module/openssl-errors.ts';
import { returnValue } from '../module/return-values.ts';
import { BACKUP_GENERATION } from './backup-keys.ts';
import { completeRootKeys, type RootKeys } from './root-keys.ts';
import {
  BACKUP_KEY_PARTS,
  brokenSeal,
  CURSOR_KEY_PART,
  OUTLIVING_BACKUP_KEY_PARTS,
  retirementBytes,
  rootCheckBytes,
} from './seal.ts';

/** What is done with root keys of several generations, and with the keys of backups, which are used as root keys are. */
export interface RootKeyCalls extends KeyRewrapper, RootKeyMaker, RootSecrets {
  /** The keys of backups, as the store has them now: they are loaded when they are needed. */
  openBackupKeys(material: KeyMaterial | undefined): void;
  /** 32 bytes for the MAC of cursors: each process that serves the pool has the same. */
  cursorKey(): Promise<Uint8Array>;
}

export interface RootKeyCallsParts {
  readonly calls: KeyCalls;
  readonly live: LiveConnection;
  readonly roots: () => Roots | undefined;
  /** What a connection that is made anew looks for. */
  readonly setRoots: (roots: Roots) => void;
}

export function createRootKeyCalls({ calls, live, ...parts }: RootKeyCallsParts): RootKeyCalls {
  let backupKeys: KeyMaterial | undefined;
  const loadedBackupKeys = new WeakMap<Connection, Promise<RootKeys>>();

  function requireRoots(): Roots {
    const roots = parts.roots();
    if (roots === undefined) throw new TypeError('root keys have a pool');
    return roots;
  }

  /** Loaded once in the life of a connection: wrapped by other root keys they are still the same. */
  function backupKeysOn(on: Connection, material: KeyMaterial): Promise<RootKeys> {
    const known = loadedBackupKeys.get(on);
    if (known !== undefined) return known;
    const loading = loadBackupKeys(on, material);
    loadedBackupKeys.set(on, loading);
    loading.catch(() => loadedBackupKeys.delete(on));
    return loading;
  }

  async function loadBackupKeys(on: Connection, material: KeyMaterial): Promise<RootKeys> {
    await on.loaded.verify(material);
    const roots = await requireGeneration(on, material.sealed.rootGeneration);
    return on.dispatcher.run('loadBackupKeys', [roots, material]);
  }

  function rootKeysOf(on: Connection, generation: number): Promise<RootKeys> {
    if (generation !== BACKUP_GENERATION) return requireGeneration(on, generation);
    if (backupKeys === undefined) throw hsmUnavailable(undefined);
    return backupKeysOn(on, backupKeys);
  }

  const derived = async (on: Connection, by: RootKeys, partsOfKey: readonly Buffer[]) =>
    Buffer.concat(await Promise.all(partsOfKey.map((part) => on.mac(part, by))));

  /** By the keys of backups where the pool has some. */
  const derive = (outliving: readonly Buffer[], earlier: readonly Buffer[]) =>
    calls.attempt(
      async (on) =>
        backupKeys === undefined
          ? derived(on, requireRootKeys(on), earlier)
          : derived(on, await backupKeysOn(on, backupKeys), outliving),
      true,
    );

  const checkOf = (on: Connection, rootKeys: RootKeys) =>
    on.mac(rootCheckBytes(rootKeys.poolId), rootKeys);

  return {
    get hasBackupKeys() {
      return backupKeys !== undefined;
    },
    openBackupKeys(material) {
      backupKeys = material;
    },
    backupKey: () => derive(OUTLIVING_BACKUP_KEY_PARTS, BACKUP_KEY_PARTS),
    earlierBackupKeys: (generations) =>
      Promise.all(
        generations.map((generation) =>
          calls.attempt(
            async (on) => derived(on, await requireGeneration(on, generation), BACKUP_KEY_PARTS),
            true,
          ),
        ),
      ),
    cursorKey: () =>
      derive([CURSOR_KEY_PART], [CURSOR_KEY_PART]).catch((error: unknown) => {
        if (!isLack(error)) throw error;
        // Lists don't need them: here, cursors end with the root keys.
        return calls.attempt((on) => on.mac(CURSOR_KEY_PART), true);
      }),

    rewrap: (material, target, identity = material.identity) =>
      calls.attempt(
        async (on) => {
          const from = await rootKeysOf(on, material.sealed.rootGeneration);
          const to =
            target === 'current' ? requireRootKeys(on) : await rootKeysOf(on, BACKUP_GENERATION);
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

    async prepareRootKeys(generation) {
      const { poolId } = requireRoots();
      const on = live.current;
      if (on === undefined) throw hsmUnavailable(undefined);
      const rootKeys = withoutOpenSslErrors(() =>
        completeRootKeys(on.token.loginSession, poolId, generation),
      );
      on.generations.clear();
      return checkOf(on, rootKeys);
    },

    useRootKeys: (generation, rootCheck) =>
      calls.attempt(async (on) => {
        const { poolId } = requireRoots();
        // Those that it knows may be gone by now.
        on.generations.clear();
        if (on.rootKeys?.generation === generation) return true;
        const rootKeys = await on.generations.find(poolId, generation);
        if (rootKeys === undefined || !(await checkOf(on, rootKeys)).equals(rootCheck))
          return false;
        parts.setRoots({ ...requireRoots(), generation });
        on.rootKeys = rootKeys;
        return true;
      }, true),

    retirementProof: (generation) =>
      calls.attempt((on) => on.mac(retirementBytes(requireRoots().poolId, generation)), true),

    async destroyRootKeys(generation) {
      const { poolId, generation: current } = requireRoots();
      if (generation >= current) throw new TypeError('the current root keys are not destroyed');
      await calls.attempt(async (on) => {
        await on.dispatcher.run('destroyRootKeys', [poolId, generation]);
        on.generations.clear();
      }, true);
    },
  };
}

/** The module doesn't open the keys of backups, which another one has wrapped. */
function isLack(error: unknown): boolean {
  return error instanceof ServiceError && error.code === 'BadParameter';
}

/** The seal was right, so these bytes were wrapped by a root key of this generation: the HSM holds another one. */
function isUnwrapRefusal(error: unknown): boolean {
  return returnValue(error)?.startsWith('CKR_WRAPPED_KEY_') === true;
}
