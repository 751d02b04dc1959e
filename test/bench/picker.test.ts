import { expect, test } from '@jest/globals';
import { pickerOf } from './picker.ts';

test('uniformly picked ones come evenly, Zipf-picked ones by rank', () => {
  const counts = (distribution: 'uniform' | 'zipf') => {
    // Evenly through the unit interval: what a random source does in the long run.
    let turn = 0;
    const pick = pickerOf(4, distribution, () => (turn++ + 0.5) / 2500);
    const picked = [0, 0, 0, 0];
    for (let time = 0; time < 2500; time += 1) {
      const index = pick();
      picked[index] = (picked[index] ?? 0) + 1;
    }
    return picked;
  };
  expect(counts('uniform')).toEqual([625, 625, 625, 625]);
  // 1 : 1/2 : 1/3 : 1/4 of 25/12.
  expect(counts('zipf')).toEqual([1200, 600, 400, 300]);
});
