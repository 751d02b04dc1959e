import type { AuditedChange } from '../../../src/core/audit/record.ts';
import type { TokenSigningKey, TokenSigningKeyStore } from '../../../src/core/directory/ports.ts';

/** Signing keys in memory; counts how often it is read. */
export class FakeSigningKeyStore implements TokenSigningKeyStore {
  #keys: readonly TokenSigningKey[] = [];
  reads = 0;

  listSigningKeys(): Promise<readonly TokenSigningKey[]> {
    this.reads += 1;
    return Promise.resolve(this.#keys);
  }

  insertSigningKey(
    key: TokenSigningKey,
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
  replace(change: (keys: readonly TokenSigningKey[]) => readonly TokenSigningKey[]): void {
    this.#keys = change(this.#keys);
  }
}
