import { statSync } from 'node:fs';

/** Those that take longest, the longest first: none of them may be what all others have ended before. */
const SLOW = [
  'service/process/lifecycle',
  'store/witness/witnessed-state',
  'service/keys/resident-pool',
  'service/process/fair-shares',
  'service/process/operator-faults',
  'service/process/reload',
  'service/recovery/',
  'service/audit/audit-log',
  'service/hsm/updated-module',
  'service/hsm/garbage',
  'service/directory/directory',
  'service/access/authorisation',
  'service/hsm/one-thread',
  'service/process/poolers',
  'service/http/no-500',
  'service/hsm/crash',
  'service/keys/key-generation-share',
  'cli/doctor',
  'service/process/',
  'service/keys/key-life',
  'service/release/',
  'service/access/',
  'store/broken-connections',
  'service/hsm/',
  'service/',
  'hsm/module/',
  'setup/',
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
