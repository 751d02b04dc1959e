import type { KeyMaterial, KeyVersionId, VerifiedMaterial } from '../../../src/core/keys/key.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import type { ObjectId } from '../../../src/core/keys/objects/object-id.ts';
import { createHmac } from 'node:crypto';
import type { ObjectPermit, ObjectStatement } from '../../../src/core/keys/objects/permit.ts';
import type { HsmObjects, ObjectLedger } from '../../../src/core/keys/objects/ports.ts';

interface Intent {
  readonly version: KeyVersionId;
  state: 'creating' | 'destroying';
  isOver: boolean;
  isClaimed: boolean;
  isAbsent: boolean;
  permit?: ObjectPermit;
}

/** A ledger in memory. */
export class FakeObjectLedger implements ObjectLedger {
  readonly intents = new Map<ObjectId, Intent>();
  /** Objects of which rows tell. */
  kept = 0;
  /** By the store's clock. */
  now = 1_000_000;
  /** Versions whose rows there were. */
  readonly witnessed = new Set<string>();
  readonly setAsideOnes: ObjectId[] = [];
  materials: readonly KeyMaterial[] = [];

  async begin(...[objects, { version }, room]: Parameters<ObjectLedger['begin']>): Promise<number> {
    const count = objects.length + (await this.count());
    if (room !== undefined && count > room) return count;
    const fresh = { isOver: false, isClaimed: false, isAbsent: false };
    for (const permit of objects)
      this.intents.set(permit.id, { version, state: 'creating', ...fresh, permit });
    return room === undefined ? 0 : count;
  }

  /** What the transaction does that writes a key's row. */
  settle(version: KeyVersionId): void {
    for (const [id, intent] of this.intents)
      if (intent.version === version && intent.state === 'creating') {
        this.intents.delete(id);
        this.witnessed.add(version);
        this.kept += 1;
      }
  }

  /** What the transaction does that removes a key's row. */
  doom(version: KeyVersionId, id: ObjectId, permit?: ObjectPermit): void {
    const fresh = { isOver: true, isClaimed: false, isAbsent: false };
    this.intents.set(id, {
      ...{ version, state: 'destroying', ...fresh },
      ...(permit !== undefined && { permit }),
    });
  }

  giveUp(version: KeyVersionId, isOver: boolean): Promise<void> {
    for (const intent of this.intents.values())
      if (intent.version === version) {
        intent.state = 'destroying';
        intent.isOver = isOver;
      }
    return Promise.resolve();
  }

  giveUpOlderThan(): Promise<number> {
    const old = [...this.intents.values()].filter(({ isOver }) => isOver);
    for (const intent of old) intent.state = 'destroying';
    return Promise.resolve(old.length);
  }

  claimDoomed(): ReturnType<ObjectLedger['claimDoomed']> {
    const doomed = [...this.intents].filter(
      ([, { state, isClaimed }]) => state === 'destroying' && !isClaimed,
    );
    for (const [, intent] of doomed) intent.isClaimed = true;
    return Promise.resolve(
      doomed.map(([id, { isOver, permit, version }]) => ({
        ...{ id, isOver, permit, now: this.now },
        wasKept: this.witnessed.has(version),
      })),
    );
  }

  permit(objects: readonly ObjectPermit[]): Promise<void> {
    for (const permit of objects) {
      const intent = this.intents.get(permit.id);
      if (intent?.state === 'destroying') Object.assign(intent, { permit, isClaimed: false });
    }
    return Promise.resolve();
  }

  readonly retained: ObjectPermit[] = [];
  retain(objects: readonly ObjectPermit[]): Promise<void> {
    this.retained.push(...objects);
    return Promise.resolve();
  }

  setAside(objects: readonly ObjectId[]): Promise<void> {
    this.setAsideOnes.push(...objects);
    return Promise.resolve();
  }

  findMaterials(): Promise<readonly KeyMaterial[]> {
    return Promise.resolve(this.materials);
  }

  strike(objects: readonly ObjectId[]): Promise<void> {
    for (const id of objects) this.intents.delete(id);
    return Promise.resolve();
  }

  noteAbsent(objects: readonly ObjectId[]): Promise<void> {
    for (const id of objects) {
      const intent = this.intents.get(id);
      if (intent !== undefined) intent.isAbsent = true;
    }
    return Promise.resolve();
  }

  count(): Promise<number> {
    const absent = [...this.intents.values()].filter(({ isAbsent }) => isAbsent).length;
    return Promise.resolve(this.kept + this.intents.size - absent);
  }
}

/** An HSM as far as its objects go. */
export class FakeHsmObjects implements HsmObjects {
  readonly own = new Set<ObjectId>();
  others = 0;
  failure: Error | undefined;
  /** Versions whose seals aren't theirs. */
  readonly altered = new Set<string>();

  proveObject(statement: ObjectStatement): Promise<Uint8Array> {
    const { id, name, version, kind, time } = statement;
    const text = JSON.stringify([id, name, version, kind, time]);
    return Promise.resolve(createHmac('sha256', "the pool's root key").update(text).digest());
  }

  requireIntact(material: KeyMaterial): Promise<VerifiedMaterial> {
    if (this.altered.has(material.identity.version))
      return Promise.reject(new ServiceError('KeyIntegrityViolation', 'It has been altered.'));
    return Promise.resolve(material as VerifiedMaterial);
  }

  destroyObjects(objects: readonly ObjectId[]): Promise<readonly ObjectId[]> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return Promise.resolve(objects.filter((id) => this.own.delete(id)));
  }

  countObjects(): Promise<{ all: number; own: number }> {
    return Promise.resolve({ all: this.own.size + this.others, own: this.own.size });
  }

  listObjects(): Promise<readonly ObjectId[]> {
    return Promise.resolve([...this.own]);
  }
}
