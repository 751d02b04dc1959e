import { type KeyMaterial } from '../../../src/core/key.ts';
import { type SigningKeyStore } from '../../../src/core/ports.ts';

/** Signing keys in memory; counts how often it is read. */
export class FakeSigningKeyStore implements SigningKeyStore {
  readonly #materials: KeyMaterial[] = [];
  reads = 0;

  listSigningKeys(): Promise<readonly KeyMaterial[]> {
    this.reads += 1;
    return Promise.resolve(this.#materials.slice(-2).reverse());
  }

  insertSigningKey(material: KeyMaterial): Promise<void> {
    this.#materials.push(material);
    return Promise.resolve();
  }
}
