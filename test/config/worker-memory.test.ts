import { describe, expect, test } from '@jest/globals';
import { loadedKeysFor, memoryLimitFor } from '../../src/config/worker-memory.ts';

const MIB = 1024 ** 2;
const GIB = 1024 ** 3;

describe('the memory limit of a worker process', () => {
  test.each([
    ['a laptop', 16 * GIB, 8, 1_024],
    ['a server', 64 * GIB, 2, 2_048],
    ['a small container', GIB, 2, 512],
  ])('%s', (_, memoryBytes, workers, mebibytes) => {
    expect(memoryLimitFor({ memoryBytes, workers })).toBe(mebibytes * MIB);
  });
});

describe('loaded keys', () => {
  test.each([
    [64, 4_096],
    [1_024, 32_768],
    [2_048, 100_000],
    [65_536, 100_000],
  ])('a limit of %d MiB has room for %d', (mebibytes, keys) => {
    expect(loadedKeysFor(mebibytes * MIB)).toBe(keys);
  });
});
