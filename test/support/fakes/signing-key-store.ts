import { type AuditedChange } from '../../../src/core/audit.ts';
import { type SigningKey, type SigningKeyStore } from '../../../src/core/ports.ts';

/** Signing keys in memory; counts how often it is read. */
export class FakeSigningKeyStore implements SigningKeyStore {
  #keys: readonly SigningKey[] = [];
  reads = 0;

  listSigningKeys(): Promise<readonly SigningKey[]> {
    this.reads += 1;
    return Promise.resolve(this.#keys);
  }

  insertSigningKey(
    key: SigningKey,
    after: string | undefined,
    change: AuditedChange,
  ): Promise<boolean> {
    const [newest] = this.#keys;
    if (newest?.material.identity.version !== after) return Promise.resolve(false);
    this.#keys = newest === undefined ? [key] : [key, newest];
    change.committed();
    return Promise.resolve(true);
  }

  /** As whoever writes to the database would. */
  replace(change: (keys: readonly SigningKey[]) => readonly SigningKey[]): void {
    this.#keys = change(this.#keys);
  }
}
