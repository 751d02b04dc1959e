import { describe, expect, test } from '@jest/globals';
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { workerOptions } from '../../src/process/worker-options.ts';

const GIB = 1024 ** 3;
const place = { workers: 2, cores: 4, memoryLimit: GIB, given: [] };

describe('the garbage of a worker process', () => {
  test.each([
    ['is collected beside it where a core is left over', 3, false],
    ['is collected by itself where each core has a process', 4, true],
    ['is collected by itself where there are more processes than cores', 5, true],
  ])('%s', (_, workers, isAlone) => {
    expect(workerOptions({ ...place, workers }).includes('--single-threaded-gc')).toBe(isAlone);
  });
});

describe('its heap', () => {
  test.each([
    ['has a part of the memory limit', 4 * GIB, '--max-old-space-size=3072'],
    ['has what it needs however low that is', GIB / 4, '--max-old-space-size=768'],
  ])('%s', (_, memoryLimit, option) => {
    expect(workerOptions({ ...place, memoryLimit })).toContain(option);
  });

  test.each([
    [['--max-old-space-size=512']],
    [['--inspect', '--max_old_space_size=512']],
    [['--trace-warnings --max-old-space-size=512']],
  ])('is what the operator has said: %j', (given) => {
    const ours = workerOptions(place);
    const besides = ours.filter((option) => !option.includes('old-space'));
    expect(besides.length).toBe(ours.length - 1);
    expect(workerOptions({ ...place, given })).toEqual(besides);
  });
});

test('all of them are options that this Node knows', async () => {
  const options = workerOptions({ ...place, workers: 4 });
  const script = 'process.stdout.write(JSON.stringify(process.execArgv))';
  const { stdout } = await promisify(execFile)(process.execPath, [...options, '-e', script]);
  expect(JSON.parse(stdout)).toEqual([...options, '-e', script]);
});
