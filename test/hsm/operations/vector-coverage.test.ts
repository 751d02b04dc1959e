import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from '@jest/globals';
import { ALGORITHMS, CURVE, CURVES } from '../../../src/core/operations/algorithms.ts';
import { algorithmsOf } from '../../support/vector-algorithms.ts';
import { SIGNATURE_SCHEMAS } from '../../support/signature-vectors.ts';
import { CIPHER_SCHEMAS, ML_DSA_SCHEMAS, readVectors } from '../../support/vectors.ts';

const FILES = readVectors([
  ...SIGNATURE_SCHEMAS,
  ...CIPHER_SCHEMAS,
  ...ML_DSA_SCHEMAS,
  'mac_test_schema_v1.json',
]);
const covered = new Set(
  FILES.flatMap((file) =>
    file.testGroups.flatMap((group) =>
      group.tests.some(({ result }) => result === 'valid') ? algorithmsOf(file, group) : [],
    ),
  ),
);

describe('a file of test/vectors has valid tests', () => {
  test.each(Object.keys(ALGORITHMS))('of the algorithm %s', (algorithm) => {
    expect([...covered]).toContain(algorithm);
  });

  test.each(CURVES)('of the curve %s', (curve) => {
    expect([...covered]).toContain(CURVE[curve].algorithm);
  });
});

test('every file is one that the suites read, and tests an algorithm of ours', () => {
  const folder = fileURLToPath(new URL('../../vectors', import.meta.url));
  expect(FILES.map(({ name }) => name).sort()).toEqual(
    readdirSync(folder)
      .filter((name) => name.endsWith('.json'))
      .sort(),
  );
  const idle = FILES.filter((file) =>
    file.testGroups.every((group) => algorithmsOf(file, group).length === 0),
  );
  expect(idle.map(({ name }) => name)).toEqual([]);
});
