import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from '@jest/globals';

const ROOT = join(import.meta.dirname, '../..');
const SECURITY = readFileSync(join(ROOT, 'SECURITY.md'), 'utf8');

/** The rows of the threat model: who, what they get, what stops more, and the tests. */
const rows = (SECURITY.split('## Threat model')[1]?.split('\n## ')[0] ?? '')
  .split('\n')
  .filter((line) => line.startsWith('| '))
  .slice(2)
  .map((line) => line.split(' | ').map((cell) => cell.replace(/^\| | \|$/g, '').trim()));

test('the threat model has a row for each kind of attacker', () => {
  expect(rows.length).toBeGreaterThan(15);
});

test.each(rows)(
  'what stops %s is shown by tests that there are',
  (_who, _gets, _stops, tests = '') => {
    const named = [...tests.matchAll(/`([^`]+)`/g)].map(([, name = '']) => name);
    expect(named).not.toEqual([]);
    for (const name of named)
      expect([name, existsSync(join(ROOT, 'test', `${name}.test.ts`))]).toEqual([name, true]);
  },
);
