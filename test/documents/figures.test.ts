import { describe, expect, test } from '@jest/globals';
import { constantAt } from './constants.ts';
import { documentAt } from './documents.ts';

/** A figure in a document: the sentence that it stands in, made from the constant that it is taken from. */
type Figure = readonly [constant: string, sentence: (value: number) => string];

const count = (value: number) => value.toLocaleString('en');
const seconds = (milliseconds: number) => count(milliseconds / 1_000);
const minutes = (milliseconds: number) => count(milliseconds / 60_000);
const hours = (milliseconds: number) => count(milliseconds / 3_600_000);
const kib = (bytes: number) => count(bytes / 1024);
const mib = (bytes: number) => count(bytes / 1024 ** 2);

const FIGURES: Readonly<Record<string, readonly Figure[]>> = {
  'SECURITY.md': [
    [
      'src/audit/refusal-limit.ts#REFUSAL_LIMITS.perAddress',
      (n) => `beyond ${count(n)} records a minute`,
    ],
    [
      'src/http/audit/audit-stream.routes.ts#STREAMS_LIMIT_EACH',
      (n) => `${count(n)} streams of one principal`,
    ],
    ['src/core/audit/chain.ts#COUNTERSIGNED_AFTER_MS', (n) => `up to ${seconds(n)} seconds`],
  ],
  'deploy/README.md': [
    [
      'src/process/worker-fleet.ts#STOPPING.limitMs',
      (n) => `answers what is under way for up to ${seconds(n)}`,
    ],
  ],
  'deploy/sizes.md': [
    ['src/hsm/module/sessions.ts#MOST_WORKERS', (n) => `${count(n)} in each worker process`],
    [
      'src/config/worker-memory.ts#BESIDE',
      (n) => `reckons with ${mib(n)} MiB for a worker process`,
    ],
    ['src/config/worker-memory.ts#OBJECT', (n) => `and ${kib(n)} KiB for each of these`],
  ],
  'policies/README.md': [
    [
      'src/store/change-feed.ts#BELIEVED_FOR_MS',
      (n) => (n === 1_000 ? 'everything of the last second' : ''),
    ],
    ['src/compose/limits.ts#LIMITS.cachedCallers', (n) => `remembers up to ${count(n)} callers`],
    [
      'src/core/caching/fresh-reads.ts#LIMITS.atOnce',
      (n) => `there are ${count(n)} at once in each process`,
    ],
    [
      'src/identity/issuers/external-tokens.ts#GROUPS_LIMIT',
      (n) => `with more than ${count(n)} groups`,
    ],
    [
      'src/core/access/access-service.ts#LIMIT',
      (n) => `up to ${count(n)} holders of a role and ${count(n)} assignments`,
    ],
  ],
  'src/cli/README.md': [
    ['src/compose/limits.ts#LIMITS.databaseConnections', (n) => `${count(n)} for requests`],
    ['src/compose/limits.ts#LIMITS.auditConnections', (n) => `${count(n)} for the audit log`],
    ['src/compose/limits.ts#LIMITS.standbyConnections', (n) => `and ${count(n)} to a standby`],
    [
      'src/config/worker-memory.ts#LIMIT.least',
      (n) => `at least ${count(n / 1024 ** 2)} and at most`,
    ],
    ['src/config/worker-memory.ts#LIMIT.most', (n) => `at most ${n / 1024 ** 2} MB`],
    ['src/config/worker-memory.ts#OBJECTS.most', (n) => `up to ${count(n)} in a process`],
    ['src/compose/limits.ts#LIMITS.cachedKeysBytes', (n) => `key records take up to ${mib(n)} MiB`],
    ['src/hsm/module/sessions.ts#MOST_WORKERS', (n) => `${count(n)} in each worker, each with two`],
    ['src/process/open-files.ts#LOW', (n) => `${count(n)} or more`],
    ['src/hsm/module/latency.ts#SLOW_LIMIT_MS', (n) => `more than ${count(n)} ms for`],
  ],
  'src/config/README.md': [
    [
      'src/hsm/module/sessions.ts#MOST_WORKERS',
      (n) => `${count(n)}; with a fast HSM as many as cores, 2 to ${count(n)}`,
    ],
  ],
  'src/core/audit/README.md': [
    [
      'src/audit/refusal-limit.ts#REFUSAL_LIMITS.perAddress',
      (n) => `records the first ${count(n)} of an address in a minute`,
    ],
    [
      'src/audit/refusal-limit.ts#REFUSAL_LIMITS.inAll',
      (n) => `${count(n)} of all addresses together`,
    ],
    [
      'src/http/audit/audit-stream.routes.ts#STREAMS_LIMIT',
      (n) => `There are ${count(n)} streams a process`,
    ],
    [
      'src/http/audit/audit-stream.routes.ts#STREAMS_LIMIT_EACH',
      (n) => `a process and ${count(n)} of one principal`,
    ],
    [
      'src/http/audit/audit.routes.ts#VERIFIED_AT_ONCE',
      (n) => `after ${count(n)} records and rows`,
    ],
    [
      'src/store/audit/standby-reader.ts#BEHIND_LIMIT_MS',
      (n) => `more than ${seconds(n)} second behind`,
    ],
    ['src/store/audit/standby-reader.ts#LEFT_FOR_MS', (n) => `left for ${seconds(n)} seconds`],
    ['src/compose/limits.ts#LIMITS.standbyConnections', (n) => `up to ${count(n)} connections`],
    [
      'src/store/database.ts#LIMITS_MS.statement',
      (n) => `limit for a statement (${seconds(n)} seconds)`,
    ],
    ['src/core/audit/checkpoint-service.ts#SIGN_AFTER_MS', (n) => `Every ${seconds(n)} seconds`],
    [
      'src/core/audit/checkpoint-service.ts#SIGN_AT_RECORDS',
      (n) => `after ${count(n)} records, a process`,
    ],
    [
      'src/core/audit/chain.ts#COUNTERSIGNED_AFTER_MS',
      (n) => `After ${seconds(n)} seconds another process`,
    ],
    [
      'src/core/audit/chain.ts#ABANDONED_AFTER_MS',
      (n) => `no new record for ${minutes(n)} minutes`,
    ],
    [
      'src/core/audit/chain.ts#ABANDONED_AFTER_MS',
      (n) => (2 * n === 30 * 60_000 ? 'after half an hour' : ''),
    ],
  ],
  'src/core/keys/README.md': [
    ['src/core/keys/key-spec.ts#PUBLIC_EXPONENT.least', (n) => `The public exponent is ${n} or`],
    ['src/core/keys/key-spec.ts#PUBLIC_EXPONENT.most', (n) => `number up to ${n}:`],
    ['src/core/keys/tags.ts#TAGS_LIMIT', (n) => `up to ${count(n)} tags`],
    [
      'src/hsm/keys/key-maker.ts#GENERATION_LIMITS.ofOne',
      (n) => `One principal may have ${count(n)} under way in a process`,
    ],
    [
      'src/hsm/pkcs11-hsm.ts#GENERATOR_IDLE_MS',
      (n) => (n === 60_000 ? 'ends after a minute without work' : ''),
    ],
    [
      'src/core/keys/rotation/rotation.ts#SHORTEST_INTERVAL.days',
      (n) => `${count(n)} days at least`,
    ],
    [
      'src/compose/limits.ts#LIMITS.maintenanceEveryMs',
      (n) => `due actions every ${seconds(n)} seconds`,
    ],
    ['src/store/recovery/key-archive.ts#VERSIONS_LIMIT', (n) => `up to ${count(n)} versions`],
    ['src/http/keys/keys.routes.ts#BACKUP_LIMIT', (n) => `its blob up to ${mib(n)} MiB`],
    [
      'src/core/operations/encryption-limit.ts#GCM_LIMIT',
      (n) => `may encrypt 2^${Math.log2(n)} times`,
    ],
  ],
  'src/core/release/README.md': [
    ['src/compose/limits.ts#LIMITS.fetchDeadlineMs', (n) => `within ${seconds(n)} seconds`],
    ['src/compose/limits.ts#LIMITS.fetchBytes', (n) => `and ${kib(n)} KiB each`],
    [
      'src/attestation/authority-keys.ts#GOOD_FOR_MS',
      (n) => `remembered for ${minutes(n)} minutes`,
    ],
    ['src/attestation/token-verifier.ts#BITS.least', (n) => `(${n} to`],
    ['src/attestation/token-verifier.ts#BITS.most', (n) => `to ${n} bits)`],
  ],
  'src/http/README.md': [
    ['src/hsm/keys/key-maker.ts#GENERATION_LIMITS.ofOne', (n) => `${count(n)} in each process`],
    ['src/http/audit/audit-stream.routes.ts#STREAMS_LIMIT', (n) => `${count(n)} a process`],
    [
      'src/http/audit/audit-stream.routes.ts#STREAMS_LIMIT_EACH',
      (n) => `${count(n)} of one principal`,
    ],
    ['src/http/route.ts#BODY_LIMIT', (n) => `${kib(n)} KiB; a backup blob`],
    ['src/http/keys/keys.routes.ts#BACKUP_LIMIT', (n) => `a backup blob ${mib(n)} MiB`],
    ['src/http/operations/random.routes.ts#MOST_BYTES', (n) => `${count(n)} a request`],
    ['src/process/open-files.ts#CONNECTIONS', (n) => `${count(n)} a worker`],
    [
      'src/http/server/connection-guard.ts#FULL',
      (n) => (n === 0.75 ? 'three quarters of these places' : ''),
    ],
  ],
  'src/identity/README.md': [
    ['src/core/directory/directory-service.ts#PASSWORDS_LIMIT', (n) => `up to ${count(n)} secrets`],
    [
      'src/compose/token-signing-keys.ts#SIGNING_KEY_DAYS',
      (n) => `successor every ${count(n)} days`,
    ],
    [
      'src/store/directory/token-signing-key-store.ts#PUBLISHED',
      (n) => `${count(n)} keys are published at a time`,
    ],
    [
      'src/identity/clients/sign-in-throttle.ts#SIGN_IN_LIMITS.perPair',
      (n) => `${count(n)} refused credentials of one application from one address`,
    ],
    [
      'src/identity/clients/sign-in-throttle.ts#SIGN_IN_LIMITS.perAddress',
      (n) => `at ${count(n)} from one address`,
    ],
    [
      'src/identity/clients/sign-in-throttle.ts#SIGN_IN_LIMITS.perApplication',
      (n) => `at ${count(n)} of one application`,
    ],
    [
      'src/identity/clients/sign-in-throttle.ts#WINDOW_SECONDS',
      (n) => (n === 60 ? 'In a minute it looks' : ''),
    ],
    [
      'src/identity/clients/client-secret.ts#AT_ONCE',
      (n) => `hashes ${count(n)} secrets at a time`,
    ],
    [
      'src/identity/issuers/external-tokens.ts#GROUPS_LIMIT',
      (n) => `the first ${count(n)} is a group`,
    ],
    ['src/identity/issuers/issuers-file.ts#ISSUERS_LIMIT', (n) => `up to ${count(n)} issuers`],
    ['src/compose/limits.ts#LIMITS.fetchDeadlineMs', (n) => `has ${seconds(n)} seconds and`],
    ['src/compose/limits.ts#LIMITS.fetchBytes', (n) => `and ${kib(n)} KiB`],
    [
      'src/identity/issuers/issuer-keys.ts#REFRESH_AFTER_MS',
      (n) => `in the background after ${minutes(n)} minutes`,
    ],
    [
      'src/identity/issuers/issuer-keys.ts#FLOOR_MS',
      (n) => `not sooner than ${seconds(n)} seconds`,
    ],
    [
      'src/identity/issuers/issuer-keys.ts#BELIEVED_FOR_MS',
      (n) => `accepted for ${hours(n)} hours`,
    ],
    ['src/network/published-keys.ts#RSA.leastBits', (n) => `RSA keys below ${n} or`],
    ['src/network/published-keys.ts#RSA.mostBits', (n) => `above ${n} bits`],
  ],
  'src/observability/README.md': [
    [
      'src/core/pool/clock-watch.ts#LIMIT_SECONDS',
      (n) => (n === 120 ? 'more than two minutes' : ''),
    ],
  ],
  'test/bench/README.md': [
    ['src/audit/audit-log.ts#GATHER.leastMs', (n) => `${count(n)} milliseconds or as long as`],
    ['src/audit/audit-log.ts#GATHER.mostMs', (n) => `(${count(n)} at most)`],
    [
      'src/config/worker-memory.ts#OBJECTS.most',
      (n) => `${count(n)} at most (STRONGROOM_LOADED_KEYS)`,
    ],
  ],
};

describe.each(Object.entries(FIGURES))('%s', (path, figures) => {
  test.each(figures)('has the value of %s', (constant, sentence) => {
    const value = Number(constantAt(constant));
    expect(value).not.toBeNaN();
    const said = sentence(value);
    expect(said).not.toBe('');
    expect(documentAt(path).text).toContain(said);
  });
});
