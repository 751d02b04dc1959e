import { ServiceError } from '../../errors.ts';
import type { Hsm } from '../../keys/hsm.ts';
import type { KeyVersionId, VerifiedMaterial } from '../../keys/key.ts';
import type { ClearCeremony, Custodians, RootKeyCeremony } from '../security-domain/ports.ts';
import { BACKUP_KEYS } from './backup-keys.ts';
import { endorse } from './endorsement.ts';
import type { BackupKeyStore, RootKeyStore } from './ports.ts';
import type {
  RootKeyCarrier,
  RootKeyMaker,
  RootKeyMemory,
  RootKeyWitness,
} from './root-key-hsm.ts';

export interface RootKeyCeremonyParts {
  readonly hsm: Pick<RootKeyCarrier, 'discardRootKeys'> &
    Pick<RootKeyMaker, 'holdsRootKeys' | 'listRootGenerations' | 'retirementProof'> &
    RootKeyWitness &
    Pick<
      RootKeyMemory,
      'listUsedGenerations' | 'listBrought' | 'rememberBrought' | 'destroyBrought'
    > &
    Pick<Hsm, 'generateKey'>;
  readonly clear: ClearCeremony;
  readonly store: Pick<
    RootKeyStore,
    'currentGeneration' | 'hasPool' | 'isUnfinished' | 'listOpeningBackups' | 'listVouchers'
  >;
  /** The number of root keys of an earlier download that haven't become the current ones. */
  readonly findPending: () => Promise<number | undefined>;
  readonly backupKeys: Pick<BackupKeyStore, 'list'>;
  readonly poolId: string;
  /** Of which pool this one has taken a domain before, as its HSM has proven. */
  readonly findUploadedPool: () => Promise<string | undefined>;
  readonly newVersionId: () => KeyVersionId;
  /** Lets nobody else make root keys meanwhile. @returns undefined where somebody does now */
  readonly alone: <T>(work: () => Promise<T>) => Promise<T | undefined>;
}

/** Takes the pool's root keys and backup keys out of the HSM, once each, and those of another pool into it. */
export function createRootKeyCeremony(parts: RootKeyCeremonyParts): RootKeyCeremony {
  const { hsm, clear, store, poolId } = parts;

  async function exportTo(custodians: Custodians) {
    if (await store.isUnfinished()) throw underWay();
    const after = await store.currentGeneration();
    // Its number may be taken in another HSM.
    const pending = await parts.findPending();
    const request = {
      ...custodians,
      after: Math.max(after, pending ?? after),
      olderPairs: await parts.backupKeys.list(),
      newPair: await makePair(),
      vouchers: await store.listVouchers(),
    };
    const exported = await clear.exportDomain(request);
    const { generation, rootCheck } = exported;
    try {
      if (!(await hsm.holdsRootKeys(generation, rootCheck))) throw notHere(generation);
      // What only older root keys open isn't given up by a download.
      const isNeeded = (await store.listOpeningBackups()).includes(after);
      const superseded = pending === undefined ? [] : [pending];
      const retires = isNeeded ? superseded : [after, ...superseded];
      const endorsement = await endorse(hsm, generation, retires);
      const supersedes = pending === undefined ? undefined : await proofOf(pending);
      return {
        ...{ ...exported, after, endorsement },
        ...(supersedes !== undefined && { supersedes }),
      };
    } catch (error) {
      await hsm.discardRootKeys(generation);
      throw error;
    }
  }

  const proofOf = async (number: number) => ({ number, proof: await hsm.retirementProof(number) });

  function makePair(): Promise<VerifiedMaterial> {
    const identity = { ...BACKUP_KEYS.identity, pool: poolId, version: parts.newVersionId() };
    return hsm.generateKey(identity, BACKUP_KEYS.spec);
  }

  /**
   * Another domain takes the place of one that was uploaded here, of a pool of which the HSM has held nothing before, and which
   * nobody uses here: whoever has had a domain opened once could make up others of that pool.
   */
  async function isReplaceable(of: string, there: readonly number[]): Promise<boolean> {
    if ((await parts.findUploadedPool()) !== of) return false;
    if ((await hsm.listUsedGenerations(of)).length > 0) return false;
    const brought = await hsm.listBrought(of);
    return there.every((number) => brought.includes(number));
  }

  return {
    async exportRootKeys(custodians) {
      const exported = await parts.alone(() => exportTo(custodians));
      if (exported === undefined) throw underWay();
      return exported;
    },

    async progress(generation) {
      if ((await store.currentGeneration()) < generation)
        return (await parts.findPending()) === generation ? 'InProgress' : 'Failed';
      return (await store.isUnfinished()) ? 'InProgress' : 'Success';
    },

    importRootKeys: (blob) =>
      clear.openBlob(blob, async (opened) => {
        // Root keys of a pool that is there come from its own HSM, and from nobody else.
        const { poolId: of, generation } = opened;
        if (await store.hasPool(of))
          throw new ServiceError(
            'Conflict',
            'The security domain is of a pool that this database has already, be it this one or another.',
          );
        const there = await hsm.listRootGenerations(of);
        const isNew = !there.includes(generation);
        if (isNew && there.length > 0 && !(await isReplaceable(of, there)))
          throw new ServiceError(
            'Conflict',
            `The HSM holds root keys of the pool ${of} already (generation ${there.join(', ')}), and gets none of generation ${generation} besides: take an empty token.`,
          );
        const imported = await opened.importRootKeys();
        if (isNew) {
          await hsm.rememberBrought(of, generation);
          // They would stay beside those that the pool has one day, and somebody may know them.
          for (const number of there) await hsm.destroyBrought(of, number);
        }
        return imported;
      }),
  };
}

function underWay(): ServiceError {
  return new ServiceError(
    'Conflict',
    'The pool is getting new root keys already: wait until everything is wrapped by them.',
  );
}

function notHere(generation: number): ServiceError {
  return new ServiceError(
    'HsmUnavailable',
    `The root keys of generation ${generation} are not in the HSM.`,
  );
}
