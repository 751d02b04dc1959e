import { describe, expect, test } from '@jest/globals';
import { FairQueue } from '../../src/core/fair-queue.ts';

function linesOf(...items: readonly (readonly [string, number])[]) {
  const lines = new FairQueue<string>();
  for (const [of, count] of items)
    for (let index = 1; index <= count; index += 1) lines.push(of, `${of}${String(index)}`);
  return lines;
}

function drain(lines: FairQueue<string>): string[] {
  const seen: string[] = [];
  for (let next = lines.shift(); next !== undefined; next = lines.shift()) seen.push(next);
  return seen;
}

describe('what waits in lines', () => {
  test('has its turn one of each line after the other, in the order of each line', () => {
    expect(drain(linesOf(['a', 4], ['b', 1], ['c', 2])).join(' ')).toBe('a1 b1 c1 a2 c2 a3 a4');
  });

  test('that comes later goes before what others have more of', () => {
    const lines = linesOf(['a', 3]);
    lines.shift();
    lines.push('b', 'b1');
    expect(drain(lines)).toEqual(['b1', 'a2', 'a3']);
  });

  test('gives way from the longest line to a shorter one, and not to itself', () => {
    const lines = linesOf(['a', 3], ['b', 1]);
    expect([lines.giveWay('a'), lines.giveWay('c'), lines.size]).toEqual([undefined, 'a3', 3]);
    expect(lines.giveWay('b')).toBeUndefined();
    expect(drain(lines)).toEqual(['a1', 'b1', 'a2']);
  });

  test('can be taken out from the front of each line, or one by one', () => {
    const lines = linesOf(['a', 3], ['b', 2]);
    lines.remove('a', 'a1');
    lines.remove('a', 'a1');
    const { gone, first } = lines.takeWhile((item) => item === 'a2' || item.startsWith('b'));
    expect([gone, first, lines.size]).toEqual([['a2', 'b1', 'b2'], ['a3'], 1]);
    expect(drain(lines)).toEqual(['a3']);
    expect(lines.size).toBe(0);
  });
});
