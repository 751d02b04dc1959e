import { statSync } from 'node:fs';

/** Those that take longest, the longest first: none of them may be what all others have ended before. */
const SLOW = [
  'service/process/lifecycle',
  'service/process/fair-shares',
  'store/broken-connections',
  'service/directory/directory',
  'service/audit/audit-log',
  'store/witness/witnessed-state',
  'service/http/no-500',
  'service/hsm/updated-module',
  'service/keys/key-generation-share',
  'service/access/',
  'service/hsm/',
  'service/process/',
  'service/',
  'store/',
];

/** The order in which jest runs suites: by SLOW, then the largest first. A clean clone has no times of earlier runs to go by. */
export default class SlowFirst {
  sort(tests) {
    return tests
      .map((test) => ({ test, place: placeOf(test.path), size: statSync(test.path).size }))
      .sort((a, b) => a.place - b.place || b.size - a.size)
      .map(({ test }) => test);
  }

  allFailedTests(tests) {
    return tests;
  }

  cacheResults() {}
}

function placeOf(path) {
  const place = SLOW.findIndex((part) => path.replaceAll('\\', '/').includes(`/test/${part}`));
  return place === -1 ? SLOW.length : place;
}
