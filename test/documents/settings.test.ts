import { expect, test } from '@jest/globals';
import { documentAt, perDocument, sourcesBelow } from './documents.ts';

const NAME = /\b(?:(?:STRONGROOM|PKCS11|OTEL)_[A-Z0-9_]*[A-Z0-9]|DATABASE_URL)\b/g;
/** What tests and the bench read; everything else is a setting of the service. */
const FOR_TESTS = /^STRONGROOM_(?:TEST|BENCH)_/;

const settings = new Set(
  namesIn(sourcesBelow('src/config', '.ts').join('\n'), new RegExp(`${NAME.source}(?=:)`, 'g')),
);
const readByTests = new Set(namesIn(sourcesBelow('test', 'ts').join('\n'), NAME));

test.each(perDocument(({ text, lines }) => namesIn([text, ...lines].join('\n'), NAME)))(
  'each setting that %s names is one that the service or its tests read',
  (_document, names) => {
    const unknown = names.filter(
      (name) => !(FOR_TESTS.test(name) ? readByTests : settings).has(name),
    );
    expect(unknown).toEqual([]);
  },
);

test('the table of settings has each setting that the service reads, once', () => {
  const rows = documentAt('src/config/README.md').rows.map(([setting = '']) => setting);
  const inTable = rows.flatMap((setting) => namesIn(setting, NAME));
  expect(inTable.toSorted()).toEqual([...settings].toSorted());
});

function namesIn(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map(([name]) => name);
}
