import { expect, test } from '@jest/globals';
import { documentAt, documents, isInRepository, perDocument, targetOf } from './documents.ts';

/** Links inside the repository; other hosts may be down while the documents are right. */
const inside = perDocument(({ links }) => links.filter((link) => !/^[a-z]+:/.test(link)));

test.each(inside)('each link of %s leads to a file and a heading that are there', (path, links) => {
  const document = documentAt(path);
  const broken = links.filter((link) => {
    const target = targetOf(document, link);
    if (!isInRepository(target.path)) return true;
    if (target.anchor === '') return false;
    return !documents.some((one) => one.path === target.path && one.anchors.has(target.anchor));
  });
  expect(broken).toEqual([]);
});

test('each document is reached from README.md by links', () => {
  const reached = new Set(['README.md']);
  for (const path of reached) {
    const document = documents.find((one) => one.path === path);
    for (const link of document?.links ?? [])
      if (document !== undefined && !/^[a-z]+:/.test(link))
        reached.add(targetOf(document, link).path);
  }
  expect(documents.map(({ path }) => path).filter((path) => !reached.has(path))).toEqual([]);
});
