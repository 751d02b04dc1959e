import { generateKeyPairSync, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import { afterAll, beforeAll, expect, test } from '@jest/globals';
import { holdEveryRole, signInAsAdministrator } from '../support/administrator.ts';
import type { Caller } from '../support/client.ts';
import {
  makeDataFolder,
  removeDataFolder,
  type RunningService,
  startService,
} from '../support/service.ts';

/**
 * How long one request holds the event loop, with the largest body that its route takes: `npm run test:soak`. The figures
 * are printed; what is asserted is that each is answered, and not by a fault of ours.
 */

const KIB = 1024;
const ROUTE_LIMIT = 256 * KIB - 512;
const RESTORE_LIMIT = 16 * KIB * KIB - 512;
const VERSIONS = 2_000;

let folder = '';
let loopFile = '';
let service: RunningService;
let admin: Caller & { close(): void };
beforeAll(async () => {
  folder = await makeDataFolder();
  loopFile = join(folder, 'loop');
  const watch = pathToFileURL(join(import.meta.dirname, '../support/loop-watch.mjs')).href;
  service = await startService(
    folder,
    { STRONGROOM_WORKERS: '1', STRONGROOM_TEST_LOOP_FILE: loopFile },
    { nodeOptions: ['--import', watch], isMeasured: true },
  );
  admin = await signInAsAdministrator(service);
  await holdEveryRole(admin, service);
  await admin('POST', '/keys/aes/create', { kty: 'oct-HSM' });
  await admin('POST', '/keys/rsa/create', { kty: 'RSA-HSM' });
}, 120_000);
afterAll(async () => {
  admin.close();
  await service.stop();
  await removeDataFolder(folder);
});

/** The longest that the loop was held since `since`, in milliseconds; 0 for less than what is worth writing. */
async function longestHold(since: number): Promise<number> {
  const lines = (await readFile(loopFile, 'utf8').catch(() => '')).split('\n');
  return lines
    .map((line) => line.split(' ').map(Number))
    .filter(([at = 0]) => at >= since)
    .reduce((longest, [, held = 0]) => Math.max(longest, held), 0);
}

const figures: string[] = [];
afterAll(() => {
  process.stdout.write(`longest hold of the event loop, ms\n${figures.join('\n')}\n`);
});

async function measure(name: string, ask: () => Promise<{ readonly status: number }>) {
  await delay(50);
  const since = Date.now();
  const began = performance.now();
  const { status } = await ask();
  const took = performance.now() - began;
  await delay(50);
  figures.push(
    `${String(await longestHold(since)).padStart(6)}  ${name}: ${String(status)}, ${took.toFixed(0)} ms`,
  );
  return status;
}

const filled = (piece: string, length: number) => piece.repeat(Math.floor(length / piece.length));
const list = (item: string, length: number) =>
  `[${filled(`${item},`, length - item.length - 4)}${item}]`;
const members = (length: number) =>
  Array.from(
    { length: Math.floor(length / 14) },
    (_, index) => `"${String(index).padStart(7, 'm')}":"v"`,
  ).join(',');
const nested = (length: number) =>
  `${'['.repeat(Math.floor(length / 2))}${']'.repeat(Math.floor(length / 2))}`;
const text = (length: number) => randomBytes(Math.floor((length * 3) / 4)).toString('base64url');
const data = (json: string) => Buffer.from(json).toString('base64url');
const policy = (json: string) => `{"kty":"EC-HSM","release_policy":{"data":"${data(json)}"}}`;
const rule = '{"authority":"https://a.example","allOf":[{"claim":"a","equals":1}]}';
const certificate = () => {
  const { publicKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return publicKey.export({ type: 'spki', format: 'der' }).toString('base64');
};

const ROUTES: readonly (readonly [name: string, method: string, path: string, body: string])[] = [
  ...(
    [
      ['POST', '/keys/new/create'],
      ['PUT', '/keys/new'],
      ['PATCH', '/keys/aes'],
      ['POST', '/keys/aes/wrapkey'],
      ['POST', '/keys/rsa/sign'],
      ['PUT', '/keys/aes/rotationpolicy'],
      ['POST', '/keys/aes/release'],
      [
        'PUT',
        '/providers/Microsoft.Authorization/roleDefinitions/00000000-0000-4000-8000-000000000001',
      ],
      [
        'PUT',
        '/providers/Microsoft.Authorization/roleAssignments/00000000-0000-4000-8000-000000000001',
      ],
      ['POST', '/v1.0/applications'],
      ['POST', '/v1.0/users'],
      ['POST', '/v1.0/groups'],
      ['POST', '/access/explain'],
      ['POST', '/audit/verify'],
    ] as const
  ).flatMap(([method, path]) => [
    ['arrays in arrays', method, path, nested(ROUTE_LIMIT)] as const,
    ['many members', method, path, `{${members(ROUTE_LIMIT)}}`] as const,
  ]),
  [
    'many tags',
    'POST',
    '/keys/new/create',
    `{"kty":"EC-HSM","tags":{${members(ROUTE_LIMIT - 64)}}}`,
  ],
  [
    'many operations',
    'POST',
    '/keys/new/create',
    `{"kty":"RSA-HSM","key_ops":${list('"sign"', ROUTE_LIMIT - 64)}}`,
  ],
  [
    'a long plaintext',
    'POST',
    '/keys/aes/encrypt',
    `{"alg":"A256GCM","value":"${text(ROUTE_LIMIT - 64)}"}`,
  ],
  [
    'a long AAD',
    'POST',
    '/keys/aes/encrypt',
    `{"alg":"A256GCM","value":"AA","aad":"${text(ROUTE_LIMIT - 64)}"}`,
  ],
  [
    'a long modulus',
    'PUT',
    '/keys/new',
    `{"key":{"kty":"RSA-HSM","e":"AQAB","n":"${text(ROUTE_LIMIT - 64)}"}}`,
  ],
  [
    'long numbers',
    'PUT',
    '/keys/new',
    `{"key":{"kty":"RSA-HSM","e":"AQAB",${['n', 'd', 'p', 'q', 'dp', 'dq', 'qi'].map((name) => `"${name}":"${text(ROUTE_LIMIT / 8)}"`).join(',')}}}`,
  ],
  [
    'a transfer blob',
    'PUT',
    '/keys/new',
    `{"key":{"kty":"RSA-HSM","key_hsm":"${text(ROUTE_LIMIT - 64)}"}}`,
  ],
  ['a policy of arrays', 'POST', '/keys/new/create', policy(nested(ROUTE_LIMIT * 0.7))],
  [
    'a policy of many rules',
    'POST',
    '/keys/new/create',
    policy(`{"version":"1.0.0","anyOf":${list(rule, ROUTE_LIMIT * 0.7)}}`),
  ],
  [
    'a policy of dots',
    'POST',
    '/keys/new/create',
    policy(
      `{"version":"1.0.0","anyOf":[{"authority":"https://a.example","allOf":[{"claim":"${filled('a.', ROUTE_LIMIT * 0.7)}","equals":1}]}]}`,
    ),
  ],
  [
    'an attestation token of dots',
    'POST',
    '/keys/rsa/release',
    `{"target":"${filled('.', ROUTE_LIMIT - 64)}"}`,
  ],
  [
    'a long attestation token',
    'POST',
    '/keys/rsa/release',
    `{"target":"${text(ROUTE_LIMIT / 3)}.${text(ROUTE_LIMIT / 3)}.${text(ROUTE_LIMIT / 4)}"}`,
  ],
  [
    'many permissions',
    'PUT',
    '/providers/Microsoft.Authorization/roleDefinitions/00000000-0000-4000-8000-000000000002',
    `{"properties":{"roleName":"many","permissions":[{"dataActions":${list('"Microsoft.KeyVault/managedHsm/keys/*"', ROUTE_LIMIT - 200)}}],"assignableScopes":["/"]}}`,
  ],
  [
    'wildcards in an action',
    'PUT',
    '/providers/Microsoft.Authorization/roleDefinitions/00000000-0000-4000-8000-000000000003',
    `{"properties":{"roleName":"stars","permissions":[{"dataActions":["${filled('*a', ROUTE_LIMIT - 400)}"]}],"assignableScopes":["/"]}}`,
  ],
  [
    'many certificates',
    'POST',
    '/v1.0/applications',
    `{"displayName":"many","keyCredentials":${list(`{"type":"AsymmetricX509Cert","usage":"Verify","key":"${certificate()}"}`, ROUTE_LIMIT - 200)}}`,
  ],
  [
    'a certificate of slashes',
    'POST',
    '/v1.0/applications',
    `{"displayName":"one","keyCredentials":[{"type":"AsymmetricX509Cert","usage":"Verify","key":"${filled('/', ROUTE_LIMIT - 200)}"}]}`,
  ],
];

test.each(ROUTES)('%s to %s %s is answered', async (name, method, path, body) => {
  expect(body.length).toBeLessThan(256 * KIB);
  const status = await measure(`${name}, ${method} ${path}`, () => admin(method, path, body));
  expect(status).toBeLessThan(500);
});

test.each([
  ['dots', data(filled('.', RESTORE_LIMIT * 0.74))],
  ['random bytes', text(RESTORE_LIMIT)],
  [
    'five parts of garbage',
    data(
      `${data('{"alg":"dir","enc":"A256CBC-HS512","kid":"backup-protection-key"}')}..${'A'.repeat(22)}.${filled('QUJD', RESTORE_LIMIT * 0.74)}.${'A'.repeat(43)}`,
    ),
  ],
  ['padding', filled('=', RESTORE_LIMIT)],
])('a restore of %s is refused', async (name, value) => {
  const status = await measure(`a restore of ${name}`, () =>
    admin('POST', '/keys/restore', { value }),
  );
  expect(status).toBe(400);
});

test.each([
  ['arrays in arrays', nested(RESTORE_LIMIT)],
  ['many members', `{${members(RESTORE_LIMIT)}}`],
])('a restore whose body is %s is refused', async (name, body) => {
  const status = await measure(`a restore whose body is ${name}`, () =>
    admin('POST', '/keys/restore', body),
  );
  expect(status).toBe(400);
});

test(`a key of ${VERSIONS} versions is backed up and restored`, async () => {
  for (let version = 0; version < VERSIONS; version += 20)
    await Promise.all(
      Array.from({ length: 20 }, () =>
        admin('POST', '/keys/many/create', { kty: 'oct-HSM', tags: { some: 'tag' } }),
      ),
    );
  let value = '';
  const backedUp = await measure(`a backup of ${VERSIONS} versions`, async () => {
    const answer = await admin('POST', '/keys/many/backup');
    ({ value } = answer.json<{ value: string }>());
    return answer;
  });
  expect(backedUp).toBe(200);
  await admin('DELETE', '/keys/many');
  await admin('DELETE', '/deletedkeys/many');
  figures.push(`        its blob has ${String(value.length)} characters`);
  const restored = await measure(`a restore of ${VERSIONS} versions`, () =>
    admin('POST', '/keys/restore', { value }),
  );
  expect(restored).toBe(200);
}, 300_000);
