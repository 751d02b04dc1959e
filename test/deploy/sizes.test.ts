import { expect, test } from '@jest/globals';
import { documentAt } from '../documents/documents.ts';

const ours = documentAt('deploy/sizes.md').rows.filter((row) => row.length === 4);
const bench = new Map(documentAt('test/bench/README.md').rows.map((row) => [row[0], row]));

test('the costs of operations are those of the bench', () => {
  const costs = ours.filter(([operation]) => bench.has(operation));
  expect(costs.length).toBeGreaterThan(5);
  for (const [operation, service, hsm, postgres] of costs) {
    const [, , cpu, , ofHsm, , ofPostgres] = bench.get(operation) ?? [];
    expect([operation, service, hsm, postgres]).toEqual([operation, cpu, ofHsm, ofPostgres]);
  }
});
