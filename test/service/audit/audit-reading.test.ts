import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises';
import { randomUUID } from 'node:crypto';
import { get, request } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { ADMINISTRATOR_ROLE } from '../../../src/core/access/role.ts';
import { makePrincipal } from '../../support/administrator.ts';
import type { Answer } from '../../support/client.ts';
import { freePort } from '../../support/free-port.ts';
import { withClient } from '../../support/store.ts';
import { useProduction } from '../../support/use-service.ts';

const run = promisify(execFile);
const MAIN = fileURLToPath(new URL('../../../dist/main.js', import.meta.url));
const VALUE = Buffer.alloc(32, 7).toString('base64url');

const listen = `127.0.0.1:${await freePort()}`;
const metrics = `http://${listen}/metrics`;
const { production, admin } = useProduction({
  STRONGROOM_WORKERS: '2',
  STRONGROOM_METRICS_LISTEN: listen,
});
beforeAll(async () => {
  await admin('POST', '/keys/Used/create', { kty: 'oct-HSM' });
  await admin('POST', '/keys/idle/create', { kty: 'oct-HSM' });
  await admin('POST', '/keys/expiring/create', {
    kty: 'EC-HSM',
    crv: 'P-256',
    attributes: { exp: Math.floor(Date.now() / 1000) + 86_400 },
  });
  for (let call = 0; call < 5; call += 1) await wrap();
  await admin('POST', '/keys/used/wrapkey', { alg: 'RSA-OAEP', value: VALUE });
}, 120_000);

async function wrap(name = 'used'): Promise<string> {
  const answer = await admin('POST', `/keys/${name}/wrapkey`, {
    alg: 'A256KW',
    value: VALUE,
  });
  expect(answer.status).toBe(200);
  return String(answer.headers['x-ms-request-id']);
}

interface Event {
  readonly requestId: string;
  readonly operation: string;
  readonly keyName?: string;
}

describe('events', () => {
  test('come one a line to who asks for that, with a link to the rest', async () => {
    const seen: Event[] = [];
    let path: string | undefined = '/audit/events?keyName=used&maxresults=4';
    for (let pages = 0; path !== undefined && pages < 10; pages += 1) {
      const page: Answer = await admin('GET', path, undefined, {
        Accept: 'application/x-ndjson',
      });
      expect(page.headers['content-type']).toBe('application/x-ndjson; charset=utf-8');
      seen.push(
        ...page.text
          .trimEnd()
          .split('\n')
          .map((line) => JSON.parse(line) as Event),
      );
      path = /^<https:\/\/[^/]+([^>]+)>; rel="next"$/.exec(String(page.headers['link'] ?? ''))?.[1];
    }
    expect(seen.map(({ operation }) => operation)).toEqual([
      ...Array.from({ length: 6 }, () => 'KeyWrap'),
      'KeyCreate',
    ]);
    expect(new Set(seen.map(({ requestId }) => requestId)).size).toBe(7);
  });

  test("come as Managed HSM's diagnostic logs have them", async () => {
    const page = await admin('GET', '/audit/events?keyName=used&format=azure&maxresults=1');
    const { value, nextLink } = page.json<{ value: Record<string, unknown>[]; nextLink: string }>();
    expect(nextLink).toContain('format=azure');
    expect(value).toEqual([
      expect.objectContaining({
        category: 'AuditEvent',
        operationName: 'KeyWrap',
        resultType: 'Failed',
        resultSignature: 'Bad Request',
        httpStatusCode: 400,
        resourceProvider: 'MICROSOFT.KEYVAULT',
        resourceType: 'managedHSMs',
        PoolName: 'main',
        requestUri: expect.stringMatching(
          /^https:\/\/main\.hsm\.example\/keys\/Used\/[0-9a-f]{32}$/,
        ),
        properties: { PoolType: 'M-HSM', sku_Family: 'B', sku_Name: 'Standard_B1' },
      }),
    ]);
    const identity = JSON.parse(String(value[0]?.['identity'])) as {
      claim: Record<string, string>;
    };
    expect(Object.values(identity.claim)).toContain(production.adminPrincipalId);
  });

  test('are found by words in any case', async () => {
    const { admin, adminPrincipalId } = production;
    const list = async (path: string) =>
      (await admin('GET', path)).json<{ value: Event[] }>().value;
    for (const filter of [
      `principalId=${adminPrincipalId.toUpperCase()}&operation=keywrap&keyName=USED`,
      'operation=KEYWRAP&outcome=SUCCESS&format=Strongroom',
      `action=${'Microsoft.KeyVault/managedHsm/keys/wrap/action'.toLowerCase()}`,
    ]) {
      const found = await list(`/audit/events?maxresults=5&${filter}`);
      expect(found.map(({ operation }) => operation)).toContain('KeyWrap');
    }
    for (let tries = 0; tries < 120; tries += 1) {
      const path = `/audit/usage?period=DAY&operation=keyWRAP&principalId=${adminPrincipalId.toUpperCase()}`;
      if ((await list(path)).length > 0) return;
      await delay(250);
    }
    throw new Error('no usage was found');
  });

  test.each([
    ['/audit/events?MaxResults=3&KeyName=USED', 3],
    ['/audit/events?keyname=nobody-has-it', 0],
    ['/audit/events?PRINCIPALID=nobody', 0],
    ['/audit/events?From=2999-01-01T00:00:00Z', 0],
    ['/audit/usage?PrincipalId=nobody', 0],
  ])('of %s are %i: options are taken in any case', async (path, count) => {
    const page = await production.admin('GET', path);
    expect([page.status, page.json<{ value: Event[] }>().value.length]).toEqual([200, count]);
  });

  test.each(['/audit/events?FROM=yesterday', '/audit/events?keyName=a&KEYNAME=b'])(
    'are refused for %s',
    async (path) => {
      expect((await production.admin('GET', path)).status).toBe(400);
    },
  );

  test('say why a credential was refused', async () => {
    const refused = await admin('GET', '/keys', undefined, { Authorization: 'Bearer a.b.c' });
    expect(refused.status).toBe(401);
    const page = (await admin('GET', '/audit/events?operation=Authentication&maxresults=1')).json<{
      value: unknown[];
    }>();
    expect(page.value).toEqual([
      expect.objectContaining({ status: 401, reason: 'The token is not valid.' }),
    ]);
  });

  test('are exported to files that only their owner reads, oldest first', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
    try {
      const options = ['audit', 'export', '--directory', join(directory, 'out')];
      const { stdout } = await run(process.execPath, [MAIN, ...options], {
        env: production.settings,
      });
      const files = await readdir(join(directory, 'out'));
      expect(files[0]).toMatch(/^audit-\d{4}-\d\d-\d\d\.ndjson$/);
      const texts = await Promise.all(
        files.sort().map((file) => readFile(join(directory, 'out', file), 'utf8')),
      );
      const events = texts
        .join('')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line) as Event & { time: string });
      expect(stdout).toBe(`${String(events.length)} records in ${String(files.length)} files.\n`);
      expect(events[0]).toMatchObject({ operation: 'PoolCreate' });
      expect(events.map(({ time }) => time)).toEqual(events.map(({ time }) => time).sort());
      expect((await stat(join(directory, 'out', files[0] ?? ''))).mode & 0o777).toBe(0o600);
    } finally {
      await rm(directory, { recursive: true });
    }
  });
});

describe('the stream', () => {
  interface Streamed {
    readonly id: string;
    readonly event: Event;
  }

  /** Reads until `isEnough`; resolves with what has come, or with the status where it isn't 200. */
  function follow(
    isEnough: (events: readonly Streamed[]) => boolean,
    headers: Readonly<Record<string, string>> = {},
    begun: () => void = () => undefined,
  ): Promise<readonly Streamed[]> {
    return new Promise((resolve, reject) => {
      const { port, ca } = production.service;
      const outgoing = get(
        {
          host: 'localhost',
          port,
          ca,
          agent: false,
          path: '/audit/stream',
          headers: { Authorization: `Bearer ${production.adminToken}`, ...headers },
        },
        (incoming) => {
          const events: Streamed[] = [];
          let rest = '';
          if (incoming.statusCode !== 200) reject(new Error(String(incoming.statusCode)));
          incoming.setEncoding('utf8').on('data', (text: string) => {
            begun();
            const parts = (rest + text).split('\n\n');
            rest = parts.pop() ?? '';
            for (const part of parts) {
              const [, id, data] = /^id: (.*)\ndata: (.*)$/.exec(part) ?? [];
              if (id !== undefined && data !== undefined)
                events.push({ id, event: JSON.parse(data) as Event });
            }
            if (!isEnough(events)) return;
            outgoing.destroy();
            resolve(events);
          });
          incoming.on('end', () => {
            resolve(events);
          });
          incoming.on('error', () => undefined);
        },
      );
      outgoing.on('error', () => undefined);
    });
  }

  test('tells what comes, from both processes, and goes on where it was cut off', async () => {
    const wanted: string[] = [];
    const has = (events: readonly Streamed[], ids: readonly string[]) =>
      ids.every((id) => events.some(({ event }) => event.requestId === id));
    let load: Promise<void> | undefined;
    const first = await follow(
      (events) => wanted.length === 20 && has(events, wanted),
      {},
      () => {
        load ??= (async () => {
          for (let call = 0; call < 20; call += 1) wanted.push(await wrap());
        })();
      },
    );
    await load;
    const requestIds = first.map(({ event }) => event.requestId);
    expect(new Set(requestIds).size).toBe(requestIds.length);

    const more = [await wrap(), await wrap(), await wrap()];
    const cutAt = Math.floor(first.length / 2);
    const again = await follow((events) => has(events, more), {
      'Last-Event-ID': first[cutAt - 1]?.id ?? '',
    });
    // What came after that event, and what has come since: nothing twice, nothing left out.
    expect(again.slice(0, first.length - cutAt).map(({ event }) => event.requestId)).toEqual(
      requestIds.slice(cutAt),
    );
    expect(new Set(again.map(({ event }) => event.requestId)).size).toBe(again.length);
  });

  /** The status of an answer that is left at once, and what ends it. */
  function begin(method = 'GET', token = production.adminToken) {
    const { port, ca } = production.service;
    return new Promise<{ status: number; ended: Promise<void>; leave: () => void }>(
      (resolve, reject) => {
        const outgoing = request({
          ...{ host: 'localhost', port, ca, agent: false, method, path: '/audit/stream' },
          headers: { Authorization: `Bearer ${token}` },
        });
        outgoing.on('error', reject).on('response', (incoming) => {
          const ended = new Promise<void>((end) => incoming.on('close', end));
          incoming.on('error', () => undefined).resume();
          const leave = () => outgoing.destroy();
          resolve({ status: incoming.statusCode ?? 0, ended, leave });
        });
        outgoing.end();
      },
    );
  }

  test('is held open no more often for one caller than its share, and a place that is left is free', async () => {
    const WORKERS = 2;
    const begun = await Promise.all(Array.from({ length: 60 }, () => begin()));
    const open = begun.filter(({ status }) => status === 200);
    expect(open.length).toBeGreaterThan(0);
    expect(open.length).toBeLessThanOrEqual(4 * WORKERS);
    expect(begun.filter(({ status }) => status === 429).length).toBe(60 - open.length);

    const other = await makePrincipal(admin, production.service, 'https://hsm.example');
    await admin('PUT', `/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`, {
      properties: { roleDefinitionId: ADMINISTRATOR_ROLE, principalId: other.id },
    });
    const others = await other.call('HEAD', '/audit/stream');
    expect(others.status).toBe(200);
    other.call.close();

    for (const { leave } of open) leave();
    await Promise.all(open.map(({ ended }) => ended));
    let again = await begin();
    for (let tries = 0; again.status === 429 && tries < 100; tries += 1) {
      await delay(50);
      again = await begin();
    }
    expect(again.status).toBe(200);
    again.leave();
  });

  test('answers HEAD, which holds no place', async () => {
    for (let tries = 0; tries < 60; tries += 1) {
      const { status, ended } = await begin('HEAD');
      expect(status).toBe(200);
      await ended;
    }
  });

  test('ends with the access of who reads it', async () => {
    const reader = await makePrincipal(admin, production.service, 'https://hsm.example');
    const assignment = `/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`;
    const put = await admin('PUT', assignment, {
      properties: { roleDefinitionId: ADMINISTRATOR_ROLE, principalId: reader.id },
    });
    expect(put.status).toBe(201);
    const { status, ended } = await begin('GET', reader.token);
    expect(status).toBe(200);
    await admin('DELETE', assignment);
    await ended;
    reader.call.close();
    expect(production.service.output()).not.toContain('a stream of the audit log has failed');
  });

  /** How many streams have ended for a fault of the service's own. */
  async function countFaults(): Promise<number> {
    const text = await (await fetch(metrics)).text();
    const samples = [...text.matchAll(/^strongroom_audit_stream_faults_total(?:\{.*\})? (\d+)$/gm)];
    return samples.reduce((sum, [, count]) => sum + Number(count), 0);
  }

  /** The rest of a stream that ends by itself, and its request's id. */
  function readToEnd(lastEventId: string): Promise<{ text: string; requestId: string }> {
    const { port, ca } = production.service;
    return new Promise((resolve, reject) => {
      const outgoing = get({
        ...{ host: 'localhost', port, ca, agent: false, path: '/audit/stream' },
        headers: {
          Authorization: `Bearer ${production.adminToken}`,
          'Last-Event-ID': lastEventId,
        },
      });
      outgoing.on('error', reject).on('response', (incoming) => {
        let text = '';
        incoming.setEncoding('utf8').on('data', (part: string) => {
          text += part;
        });
        incoming.on('end', () => {
          resolve({ text, requestId: String(incoming.headers['x-ms-request-id']) });
        });
      });
    });
  }

  test('that fails says so, is counted and logged, and ends; other streams go on', async () => {
    let seen: readonly Streamed[] = [];
    let isOver = false;
    const other = follow((events) => {
      seen = events;
      return isOver;
    });
    const hasSeen = async (requestId: string) => {
      for (let tries = 0; tries < 400; tries += 1) {
        if (seen.some(({ event }) => event.requestId === requestId)) return true;
        await delay(50);
      }
      return false;
    };
    const [start] = await follow(
      (events) => events.length > 0,
      {},
      () => void wrap(),
    );
    // The other stream has sent this record; the one that begins before it can't read it any more.
    const broken = await wrap();
    expect(await hasSeen(broken)).toBe(true);
    const before = await countFaults();
    const failed = await withClient(production.database.ownerUrl, async (owner) => {
      const { rows } = await owner.query<{ time: string }>(
        'select time::text from audit_event where request_id = $1',
        [broken],
      );
      const setTime = (time: string | undefined) =>
        owner.query('update audit_event set time = $2 where request_id = $1', [broken, time]);
      await setTime('infinity');
      try {
        return await readToEnd(start?.id ?? '');
      } finally {
        await setTime(rows[0]?.time);
      }
    });
    expect(failed.text).toContain(
      `event: fault\ndata: {"code":"StreamFailed","message":"The stream has failed. (Activity ID: ${failed.requestId})"}\n\n`,
    );
    expect(await countFaults()).toBe(before + 1);
    expect(production.service.output()).toMatch(
      new RegExp(`${failed.requestId}.*a stream of the audit log has failed`),
    );
    const last = await wrap();
    expect(await hasSeen(last)).toBe(true);
    isOver = true;
    await wrap();
    await other;
  }, 60_000);

  test.each([
    ['made up', { 'Last-Event-ID': 'x' }, '400'],
    ['forged', { 'Last-Event-ID': Buffer.from('[0]').toString('base64url') }, '400'],
    ['of a stranger', { Authorization: 'Bearer a.b.c' }, '401'],
  ])('of a position that is %s is refused', async (_, headers, status) => {
    await expect(follow(() => true, headers)).rejects.toThrow(status);
  });
});

test.each([
  '/audit/events?from',
  '/audit/events?to',
  '/audit/usage?from',
  '/audit/usage?to',
  '/audit/unused-keys?since',
  '/audit/expiring-keys?before',
])('%s takes no time that a link to the next page could not repeat', async (query) => {
  for (const time of [
    '9999-12-31T23:59:59-23:59',
    '0000-01-01T00:00:00Z',
    '0001-01-01T00:00:00%2B23:59',
  ])
    expect(await admin('GET', `${query}=${time}`)).toMatchObject({ status: 400 });
  for (const time of ['9999-12-31T23:59:59.999Z', '0001-01-01T00:00:00Z'])
    expect(await admin('GET', `${query}=${time}`)).toMatchObject({ status: 200 });
});

describe('a cursor', () => {
  const LISTS = [
    '/keys',
    '/keys/Used/versions',
    '/deletedkeys',
    '/providers/Microsoft.Authorization/roleDefinitions',
    '/providers/Microsoft.Authorization/roleAssignments',
    '/audit/events',
    '/audit/checkpoints',
    '/audit/usage',
    '/audit/unused-keys?since=2026-01-01T00:00:00Z',
    '/audit/expiring-keys?before=2100-01-01T00:00:00Z',
    '/v1.0/applications',
    '/v1.0/servicePrincipals',
    '/v1.0/users',
    '/v1.0/groups',
  ];
  const ask = (path: string, cursor: string) =>
    admin(
      'GET',
      `${path}${path.includes('?') ? '&' : '?'}maxresults=1&$skiptoken=${encodeURIComponent(cursor)}`,
    );

  test('that a list did not give is refused, whatever it looks like', async () => {
    // Two of each, so that both lists go on.
    for (const name of ['one', 'two']) {
      await admin('POST', '/v1.0/applications', { displayName: name });
      await admin('POST', '/v1.0/groups', { displayName: name });
    }
    const given: string[] = [];
    for (const path of LISTS) {
      const page = await admin('GET', `${path}${path.includes('?') ? '&' : '?'}maxresults=1`);
      expect([path, page.status]).toEqual([path, 200]);
      const cursor = /skiptoken=([\w-]+)/.exec(page.text)?.[1];
      if (cursor !== undefined) given.push(cursor);
    }
    expect(given.length).toBeGreaterThan(6);
    const made = [
      '[1,"\u0000","b","c"]',
      '1e999',
      'NaN',
      '-1',
      '9'.repeat(400),
      '{}',
      '[]',
      "' or 1=1",
    ];
    const bare = made.map((place) => Buffer.from(place).toString('base64url'));
    for (const path of LISTS) {
      const answers = await Promise.all(
        [...given, ...made, ...bare, 'AAAA', ''].map(async (cursor) => {
          const { status, text } = await ask(path, cursor);
          return [cursor, status, /skiptoken has an invalid value|must be well-formed/.test(text)];
        }),
      );
      // Its own, where it has given one.
      expect(answers.filter(([, status]) => status === 200).length).toBeLessThanOrEqual(1);
      const refused = answers.filter(([, status]) => status !== 200);
      expect(refused).toEqual(refused.map(([cursor]) => [cursor, 400, true]));
    }
  });

  test('is taken by any process, for the filter that it was given for and no other', async () => {
    const path = '/audit/events?outcome=success&from=2026-01-01T00:00:00%2B00:00';
    const { nextLink } = (await admin('GET', `${path}&maxresults=1`)).json<{
      nextLink: string;
    }>();
    const next = nextLink.replace(/^https:\/\/[^/]+/, '');
    for (let tries = 0; tries < 8; tries += 1) expect((await admin('GET', next)).status).toBe(200);
    for (const other of [
      next.replace('outcome=success', 'outcome=failure'),
      next.replace(/from=[^&]+&/, ''),
      `${next}&keyName=used`,
      next.replace('/audit/events', '/audit/usage'),
    ])
      expect([other, (await admin('GET', other)).status]).toEqual([other, 400]);
  });
});

describe('usage', () => {
  const list = async <Item>(path: string) =>
    (await admin('GET', path)).json<{ value: Item[]; nextLink?: string }>();

  interface Counted {
    readonly operation: string;
    readonly keyName?: string;
    readonly principalId?: string;
    readonly succeeded: number;
    readonly failed: number;
  }

  test('is counted by key, principal and operation, each record once', async () => {
    const { rows } = await withClient(production.database.ownerUrl, (client) =>
      client.query<{ count: string }>(
        `select count(*) from audit_event where lower(key_name) = 'used' and operation = 'KeyWrap'`,
      ),
    );
    const written = Number(rows[0]?.count);
    let found: Counted | undefined;
    for (let tries = 0; tries < 120; tries += 1) {
      const { value } = await list<Counted>('/audit/usage?keyName=USED&operation=KeyWrap');
      found = value[0];
      if ((found?.succeeded ?? 0) + (found?.failed ?? 0) >= written) break;
      await delay(250);
    }
    expect(found).toMatchObject({
      operation: 'KeyWrap',
      keyName: 'used',
      principalId: production.adminPrincipalId,
      succeeded: written - 1,
      failed: 1,
    });
    const hours = await list<Counted>('/audit/usage?period=hour&keyName=used&operation=KeyWrap');
    const sum = hours.value.reduce((total, { succeeded }) => total + succeeded, 0);
    expect(sum).toBe(written - 1);
  });

  test('goes page by page', async () => {
    const seen: Counted[] = [];
    let path: string | undefined = '/audit/usage?maxresults=2';
    while (path !== undefined) {
      const { value, nextLink }: { value: Counted[]; nextLink?: string } =
        await list<Counted>(path);
      seen.push(...value);
      path = nextLink?.replace(/^https:\/\/[^/]+/, '');
    }
    const names = seen.map(
      (one) => `${one.keyName ?? ''} ${one.principalId ?? ''} ${one.operation}`,
    );
    expect(new Set(names).size).toBe(names.length);
    expect(names.length).toBeGreaterThan(4);
  });

  test('tells keys that nobody uses, and those that are about to expire', async () => {
    const soon = new Date(Date.now() + 2 * 86_400_000).toISOString();
    const unused = await list<{ keyName: string }>(`/audit/unused-keys?since=2020-01-01T00:00:00Z`);
    expect(unused.value).toEqual([
      { keyName: 'expiring', lastUsedAt: null },
      { keyName: 'idle', lastUsedAt: null },
    ]);
    const all = await list<{ keyName: string }>(`/audit/unused-keys?since=${soon}`);
    expect(all.value).toContainEqual({ keyName: 'Used', lastUsedAt: expect.any(String) });
    const expiring = await list<{ keyName: string }>(`/audit/expiring-keys?before=${soon}`);
    expect(expiring.value).toEqual([
      { keyName: 'expiring', version: expect.any(String), expiresAt: expect.any(String) },
    ]);
    expect((await list(`/audit/expiring-keys?before=2020-01-01T00:00:00Z`)).value).toEqual([]);
  });
});
