import { describe, expect, test } from '@jest/globals';
import { documentAt } from './documents.ts';

/** What the page of sizes reckons with is what the bench has measured, and its sums are right. */
const SIZES = documentAt('deploy/sizes.md');
const FIGURES = documentAt('test/bench/README.md');
const number = (text = '') => Number(text.replaceAll(',', ''));

describe('the model of capacity', () => {
  const operations = SIZES.rows.filter(
    ([name, ...cells]) =>
      cells.length === 3 && FIGURES.rows.some((row) => row.length === 10 && row[0] === name),
  );

  test('has seven kinds of operations', () => {
    expect(operations).toHaveLength(7);
  });

  test.each(operations.map(([name = '', ...cells]) => [name, cells] as const))(
    'takes the figures of %s from the bench',
    (name, cells) => {
      const measured = FIGURES.rows.find((row) => row.length === 10 && row[0] === name) ?? [];
      const [, , service, , hsm, , postgres] = measured;
      expect(cells).toEqual([service, hsm, postgres]);
    },
  );

  const records = FIGURES.rows.filter(([what = '']) => /^a record, .* in a commit$/.test(what));

  test('has what PostgreSQL takes for some loads', () => {
    expect(records.length).toBeGreaterThan(4);
  });

  test.each(records.map(([what = '', , primary, standby]) => [what, primary, standby] as const))(
    'fits %s',
    (what, primary, standby) => {
      const together = Number(/(\d+) in a commit$/.exec(what)?.[1]);
      const close = (modelled: number, measured: number) => Math.abs(modelled / measured - 1);
      expect(close(35 + 300 / together, number(primary))).toBeLessThan(0.2);
      expect(close(15 + 100 / together, number(standby))).toBeLessThan(0.2);
    },
  );

  test('counts as the load over several replicas was measured', () => {
    const measured = SIZES.rows.filter(([asked = '']) => /^(one|three)$/.test(asked));
    const bothServers = (together: number) => Math.round(50 + 400 / together);
    expect(measured.map((row) => number(row[3]))).toEqual([bothServers(4.8) + 1, bothServers(1.9)]);
  });

  test('adds its example up', () => {
    const parts = SIZES.rows.filter((row) =>
      /^(?:(?:service|primary|standby|records|WAL): |in all)/.test(row[0] ?? ''),
    );
    const sums = parts.map((row) => number(row[3]));
    const total = sums.at(-1) ?? 0;
    expect(sums.length).toBe(6);
    expect(Math.abs(sums.slice(0, -1).reduce((sum, one) => sum + one, 0) - total)).toBeLessThan(2);
    const takes = parts.map((row) => number(/[\d,.]+/.exec(row[1] ?? '')?.[0]));
    const shown = [
      ((190 + 93 + 44 + 18 + 28) * 1_000 * 1.1 * 1.7) / 670_000,
      (2_000 * (35 + 300 / 1.9)) / 670_000,
      (2_000 * (15 + 100 / 1.9)) / 670_000,
      ((667 * 86_400 * 0.8) / 1e6) * 30 * 2,
      ((667 * 86_400 * 1.05) / 1e6) * 7,
    ];
    for (const [index, value] of shown.entries())
      expect([index, Math.abs(value / (takes[index] ?? 0) - 1) < 0.01]).toEqual([index, true]);
  });
});
