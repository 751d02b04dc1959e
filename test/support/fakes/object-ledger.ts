import type { KeyVersionId } from '../../../src/core/keys/key.ts';
import type { ObjectId } from '../../../src/core/keys/objects/object-id.ts';
import type { HsmObjects, ObjectLedger } from '../../../src/core/keys/objects/ports.ts';

interface Intent {
  readonly version: KeyVersionId;
  state: 'creating' | 'destroying';
  isOver: boolean;
  isClaimed: boolean;
  isAbsent: boolean;
}

/** A ledger in memory. */
export class FakeObjectLedger implements ObjectLedger {
  readonly intents = new Map<ObjectId, Intent>();
  /** Objects of which rows tell. */
  kept = 0;

  async begin(...[objects, { version }, room]: Parameters<ObjectLedger['begin']>): Promise<number> {
    const count = objects.length + (await this.count());
    if (room !== undefined && count > room) return count;
    const fresh = { isOver: false, isClaimed: false, isAbsent: false };
    for (const id of objects) this.intents.set(id, { version, state: 'creating', ...fresh });
    return room === undefined ? 0 : count;
  }

  /** What the transaction does that writes a key's row. */
  settle(version: KeyVersionId): void {
    for (const [id, intent] of this.intents)
      if (intent.version === version && intent.state === 'creating') {
        this.intents.delete(id);
        this.kept += 1;
      }
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
    return Promise.resolve(doomed.map(([id, { isOver }]) => ({ id, isOver })));
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
