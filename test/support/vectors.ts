import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const DEFAULT_FOLDER = fileURLToPath(new URL('../vectors', import.meta.url));

/** Schemas of ciphertexts to decrypt, of wrapped keys and of MACs; those of signatures are in signature-vectors.ts. */
export const CIPHER_SCHEMAS = [
  'rsaes_pkcs1_decrypt_schema_v1.json',
  'rsaes_oaep_decrypt_schema_v1.json',
  'aead_test_schema_v1.json',
  'ind_cpa_test_schema_v1.json',
  'keywrap_test_schema_v1.json',
] as const;

/** Project Wycheproof's own result for a test. */
type Expected = 'valid' | 'invalid' | 'acceptable';

/** Schemas of signatures by ML-DSA to verify, and of seeds with what their keys sign. */
export const ML_DSA_SCHEMAS = ['mldsa_verify_schema.json', 'mldsa_sign_seed_schema.json'] as const;

export interface VectorTest {
  readonly tcId: number;
  readonly result: Expected;
  readonly flags: readonly string[];
  /** Hex, by member name: msg, sig, ct, iv, aad, tag, key. */
  readonly [member: string]: unknown;
}

export interface VectorGroup {
  readonly tests: readonly VectorTest[];
  readonly [member: string]: unknown;
}

export interface VectorFile {
  readonly name: string;
  readonly schema: string;
  /** Wycheproof's own name of the algorithm, such as AES-KWP. */
  readonly algorithm: string;
  readonly testGroups: readonly VectorGroup[];
}

/**
 * Wycheproof's files of these schemas, from test/vectors or the folder that STRONGROOM_TEST_VECTORS names.
 * @throws where there is none: a suite without vectors would pass without having tried anything
 */
export function readVectors(schemas: readonly string[]): readonly VectorFile[] {
  const folder = process.env['STRONGROOM_TEST_VECTORS'] ?? DEFAULT_FOLDER;
  const files = readdirSync(folder)
    .filter((name) => name.endsWith('.json'))
    .map((name) => ({
      ...(JSON.parse(readFileSync(join(folder, name), 'utf8')) as Omit<VectorFile, 'name'>),
      name,
    }))
    .filter(({ schema }) => schemas.includes(schema));
  if (files.length === 0) throw new Error(`${folder} has no vectors of ${schemas.join(', ')}`);
  return files;
}

export function hex(value: unknown): Buffer {
  if (typeof value !== 'string') throw new TypeError('a vector lacks a member');
  return Buffer.from(value, 'hex');
}

/** Counts what was accepted and refused, and keeps the tests whose outcome isn't Wycheproof's. */
export class Tally {
  readonly disagreements: string[] = [];
  readonly #counts = {
    'valid accepted': 0,
    'invalid refused': 0,
    'acceptable accepted': 0,
    'acceptable refused': 0,
  };

  add({ tcId, result, flags }: VectorTest, isAccepted: boolean): void {
    if (result === 'acceptable')
      this.#counts[isAccepted ? 'acceptable accepted' : 'acceptable refused'] += 1;
    else if (isAccepted === (result === 'valid'))
      this.#counts[isAccepted ? 'valid accepted' : 'invalid refused'] += 1;
    else this.disagreements.push(`test ${tcId}, ${result}, flags ${flags.join(' ')}`);
  }

  toString(): string {
    return Object.entries(this.#counts)
      .filter(([, count]) => count > 0)
      .map(([what, count]) => `${count} ${what}`)
      .join(', ');
  }
}
