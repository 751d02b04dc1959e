import { readdirSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from '@jest/globals';
import { documentAt, FILE_NAMES, isInRepository, perDocument, ROOT } from './documents.ts';

/** A path below a folder of the repository, wherever it stands in code; it may end in a pattern. */
const BELOW_A_FOLDER = /(?<![\w./{~-])(?:src|test|policies|sql|softhsm|deploy)\/[\w./*-]*[\w/*-]/g;
/** A whole code span that is a file: from the root, from `src/`, from the document's own folder, or by its bare name. */
const A_FILE = /^[\w./-]+\.(?:ts|mjs|sql|csv|py|yaml|md)$/;

const named = perDocument(({ spans, lines }) => [
  ...[...spans, ...lines].flatMap((code) =>
    [...code.matchAll(BELOW_A_FOLDER)].map(([path]) => path.replace(/[^/]*\*.*$/, '')),
  ),
  ...spans.filter((span) => A_FILE.test(span)),
]);

test.each(named)('each path that %s names is there', (document, paths) => {
  const places = ['', 'src', dirname(document)];
  const missing = paths.filter(
    (path) => !places.some((place) => isInRepository(join(place, path))) && !FILE_NAMES.has(path),
  );
  expect(missing).toEqual([]);
});

test('the map of the source in README.md names each folder of src', () => {
  const map = documentAt('README.md').lines.join('\n');
  const folders = readdirSync(join(ROOT, 'src'), { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => `${name}/`);
  expect(folders.filter((folder) => !new RegExp(`^\\s*${folder}`, 'm').test(map))).toEqual([]);
});
