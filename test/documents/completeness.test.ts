import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { FIELD_NAMES } from '../../src/core/audit/record-fields.ts';
import { documentAt, documents, ROOT } from './documents.ts';

/** What there is has a line in the document where a reader looks for it. */
const manifest = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8')) as Readonly<
  Record<
    'scripts' | 'dependencies' | 'optionalDependencies' | 'devDependencies',
    Readonly<Record<string, string>>
  >
>;

/** The first cells of a document's tables. */
const firstCells = (path: string) => documentAt(path).rows.map(([first = '']) => first);

describe('CONTRIBUTING.md', () => {
  const listed = firstCells('CONTRIBUTING.md').flatMap((cell) => cell.split(', '));
  const packages = [
    ...Object.keys(manifest.dependencies),
    ...Object.keys(manifest.optionalDependencies),
    ...Object.keys(manifest.devDependencies),
  ];

  test('has a reason for each dependency', () => {
    const isListed = (name: string) =>
      listed.includes(name) || listed.includes(`${name.split('/')[0] ?? ''}/*`);
    expect(packages.filter((name) => !isListed(name))).toEqual([]);
  });

  test('names no dependency that is gone', () => {
    const names = listed.filter((name) => /^@?[a-z][\w./*-]*$/.test(name));
    const isThere = (name: string) =>
      name.endsWith('/*')
        ? packages.some((one) => one.startsWith(name.slice(0, -1)))
        : packages.includes(name);
    expect(names.length).toBeGreaterThan(20);
    expect(names.filter((name) => !isThere(name))).toEqual([]);
  });
});

test('each script of package.json is named in a document', () => {
  const code = documents.flatMap(({ spans, lines }) => [...spans, ...lines]).join('\n');
  const unnamed = Object.keys(manifest.scripts).filter(
    (name) => !new RegExp(`npm (?:run )?${name}(?![\\w:])`).test(code),
  );
  expect(unnamed).toEqual([]);
});

test('the table of audit fields has each field of a record, once, and no other', () => {
  const named = documentAt('src/core/audit/README.md')
    .rows.filter(([first = '']) => /^`\w+`(?:, `\w+`)*$/.test(first))
    .flatMap(([first = '']) => [...first.matchAll(/\w+/g)].map(([name]) => name));
  expect(named.toSorted()).toEqual([...FIELD_NAMES]);
});

test('the table of alerts says of each alert what to do', () => {
  const { groups } = parse(readFileSync(join(ROOT, 'src/observability/alerts.yaml'), 'utf8')) as {
    groups: { rules: { alert: string }[] }[];
  };
  const alerts = groups.flatMap(({ rules }) => rules.map(({ alert }) => `\`${alert}\``));
  const named = firstCells('src/observability/README.md').join('\n');
  expect(alerts.length).toBeGreaterThan(10);
  expect(alerts.filter((alert) => !named.includes(alert))).toEqual([]);
});
