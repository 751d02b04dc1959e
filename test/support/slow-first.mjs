import { statSync } from 'node:fs';

/** Those that take longest, the longest first: none of them may be what all others have ended before. */
const SLOW = [
  'service/recovery/root-keys',
  'service/recovery/security-domain',
  'service/process/lifecycle',
  'service/http/no-500',
  'service/keys/resident-pool',
  'service/process/operator-faults',
  'service/recovery/',
  'service/hsm/updated-module',
  'service/hsm/garbage',
  'service/directory/directory',
  'service/process/',
  'service/hsm/crash',
  'cli/doctor',
  'service/keys/key-life',
  'service/keys/key-generation-share',
  'service/release/',
  'service/access/authorisation',
  'service/audit/audit-log',
  'service/access/',
  'store/broken-connections',
  'store/witness/witnessed-state',
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
