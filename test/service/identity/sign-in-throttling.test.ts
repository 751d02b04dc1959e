import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { beforeAll, expect, test } from '@jest/globals';
import { type Caller, createCaller } from '../../support/client.ts';
import {
  addSecret,
  assignRole,
  type Client,
  created,
  makeClient,
} from '../../support/directory.ts';
import { isFullExtent } from '../../support/extent.ts';
import { guess, signIn } from '../../support/sign-in-attempts.ts';
import { ROLE } from '../../support/roles.ts';
import { useService } from '../../support/use-service.ts';

/** Attackers at one address guess secrets at the token endpoint, while others sign in, there and elsewhere. */

const HERE = '127.0.0.1';
const ELSEWHERE = '127.0.0.2';
const VALUE = Buffer.alloc(32, 7).toString('base64url');
/** Refused credentials in a minute of one application from one address, and of one address. */
const PER_PAIR = 10;
const PER_ADDRESS = 60;
/** Secrets are hashed two at once, and two more begin before those are counted. */
const UNDER_WAY = 4;

interface Known extends Client {
  readonly secret: string;
}

const { service, admin, atEnd } = useService({ STRONGROOM_WORKERS: '1' });

async function makeKnown(name: string): Promise<Known> {
  const client = await makeClient(admin, name);
  await assignRole(admin, ROLE.encryptionUser, client.principalId);
  return { ...client, secret: await addSecret(admin, client) };
}

function at(address: string): Caller {
  const call = createCaller(service, undefined, { localAddress: address });
  atEnd(call);
  return call;
}

/** A token and a key operation with it: the statuses of both. */
async function use(call: Caller, { appId, secret }: Known): Promise<number[]> {
  const answer = await signIn(call, appId, secret);
  if (answer.status !== 200) return [answer.status];
  const { access_token: token } = answer.json<{ access_token: string }>();
  const { status } = await call(
    'POST',
    '/keys/shared/wrapkey',
    { alg: 'A256KW', value: VALUE },
    { Authorization: `Bearer ${token}` },
  );
  return [200, status];
}

beforeAll(async () => {
  await created(admin('POST', '/keys/shared/create', { kty: 'oct-HSM' }));
}, 90_000);

test('who guesses is slowed and recorded, and nobody else is refused', async () => {
  const victim = await makeKnown('victim');
  const neighbour = await makeKnown('neighbour');
  const strangers = await Promise.all(
    Array.from({ length: isFullExtent ? 6 : 2 }, (_, n) => makeKnown(`stranger ${n}`)),
  );
  const [here, elsewhere] = [at(HERE), at(ELSEWHERE)];
  // Both have shown at this address who they are; the strangers never have, anywhere.
  expect(await use(here, neighbour)).toEqual([200, 200]);
  expect(await use(here, victim)).toEqual([200, 200]);

  let isOver = false;
  const one = guess(
    service,
    [HERE],
    () => victim.appId,
    () => isOver,
  );
  await delay(300);
  const many = guess(
    service,
    [HERE],
    () => randomUUID(),
    (statuses) => isOver && statuses[429] !== undefined,
  );
  const honest: unknown[] = [];
  for (const stranger of strangers) {
    honest.push(await use(elsewhere, stranger));
    honest.push(await use(elsewhere, victim));
    honest.push(await use(here, neighbour));
    honest.push(await use(here, victim));
    await delay(200);
  }
  isOver = true;
  const outcomes = [await one, await many];
  console.info(
    `guesses for one application and for many got ${JSON.stringify(outcomes.map(({ statuses }) => statuses))}`,
  );
  expect(honest).toEqual(honest.map(() => [200, 200]));

  const looked = outcomes.map(({ statuses }) => statuses[401] ?? 0);
  for (const { statuses } of outcomes) expect(Object.keys(statuses)).toEqual(['401', '429']);
  expect(looked[0]).toBeLessThanOrEqual(PER_PAIR + UNDER_WAY);
  expect((looked[0] ?? 0) + (looked[1] ?? 0)).toBeLessThanOrEqual(PER_ADDRESS + UNDER_WAY);
  const waits = outcomes.flatMap(({ retryAfter }) => retryAfter);
  expect(waits.filter((seconds) => !(seconds >= 1 && seconds <= 60))).toEqual([]);

  // A stranger at the attackers' address has to wait, and says nothing of whether its secret is right.
  const stranger = await makeKnown('another stranger');
  const refused = await signIn(here, stranger.appId, stranger.secret);
  expect([refused.status, refused.json()]).toMatchObject([429, { error_codes: [50196] }]);
  expect(await use(elsewhere, stranger)).toEqual([200, 200]);
}, 60_000);
