import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Answer } from '../../support/client.ts';
import { type CommandHost, openCommandHost } from '../../support/commands.ts';
import { buildModuleShim, hasCompiler, type ModuleShim } from '../../support/module-shim.ts';
import { outsideEc } from '../../support/plain-keys.ts';
import { type ProductionService, startNewPool } from '../../support/production.ts';
import { makeToken } from '../../support/softhsm.ts';
import { until } from '../../support/until.ts';

/** A pool whose keys are objects of the HSM, on a module that wraps no keys at all and has little room. */
const LIMIT = 24;
const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

interface Use {
  readonly used: number;
  readonly limit: number;
}

(canBuild ? describe : describe.skip)('a resident pool', () => {
  let shim: ModuleShim;
  let token: Awaited<ReturnType<typeof makeToken>>;
  let pool: ProductionService;
  let owner: pg.Client;
  let commands: CommandHost;

  beforeAll(async () => {
    token = await makeToken();
    shim = await buildModuleShim({ profile: 'yubihsm' });
    pool = await startNewPool({
      ...token.environment,
      ...shim.environment,
      STRONGROOM_KEYS: 'resident',
      // One serves on while the other is replaced.
      STRONGROOM_WORKERS: '2',
      PKCS11_OBJECT_LIMIT: String(LIMIT),
    });
    owner = new pg.Client({ connectionString: pool.database.ownerUrl });
    await owner.connect();
    commands = await openCommandHost();
  }, 120_000);
  afterAll(async () => {
    await commands.close();
    await owner.end();
    await pool.stop();
    await shim.remove();
    await token.remove();
  });

  const create = (name: string, body: object = { kty: 'EC-HSM' }) =>
    pool.admin('POST', `/keys/${name}/create`, body);
  async function purge(name: string): Promise<void> {
    await pool.admin('DELETE', `/keys/${name}`);
    expect((await pool.admin('DELETE', `/deletedkeys/${name}`)).status).toBe(204);
  }
  async function use(): Promise<Use> {
    return (await pool.admin('GET', '/capabilities')).json<{ objects: Use }>().objects;
  }
  async function signs(name: string): Promise<number> {
    const body = { alg: 'ES256', value: Buffer.alloc(32, 7).toString('base64url') };
    return (await pool.admin('POST', `/keys/${name}/sign`, body)).status;
  }
  /** A request that a process takes along that dies is never answered. */
  function untilStatus(path: string, status: number): Promise<void> {
    return until(async () => {
      const answer = pool.admin('GET', path);
      const limit = delay(2_000, undefined, { ref: false });
      return (await Promise.race([answer, limit]))?.status === status;
    });
  }
  async function intents(): Promise<readonly string[]> {
    const { rows } = await owner.query<{ state: string }>('select state from hsm_object_intent');
    return rows.map(({ state }) => state);
  }
  /** What the doctor says of the pool's objects. */
  async function doctor(...options: readonly string[]): Promise<readonly string[]> {
    const { words } = await commands.run(['doctor', '--json', ...options], pool.settings);
    const { sections } = JSON.parse(words) as {
      sections: { title: string; findings: { severity: string; subject: string }[] }[];
    };
    const found = sections.find(({ title }) => title === 'Objects')?.findings ?? [];
    return found.map(({ severity, subject }) => `${severity} ${subject}`);
  }
  const codes = ({ status, text }: Answer) => [
    status,
    (JSON.parse(text) as { error: { innererror?: { code: string } } }).error.innererror?.code,
  ];

  test('says what it is, and how many objects there are', async () => {
    const answer = await pool.admin('GET', '/capabilities');
    expect(answer.json()).toMatchObject({
      keeping: 'resident',
      objects: { used: expect.any(Number), limit: LIMIT },
    });
  });

  test.each([
    ['EC-HSM', 1, 'ES256', {}],
    ['RSA-HSM', 1, 'RS256', { key_size: 2048 }],
    // The secret of its HMACs is an object of its own.
    ['oct-HSM', 2, 'HS256', { key_size: 256 }],
  ])('a key of the type %s takes %i objects a version, until it is purged', async (...row) => {
    const [kty, objects, alg, more] = row;
    const name = `life-${kty}`;
    const before = (await use()).used;
    expect((await create(name, { kty, ...more })).status).toBe(200);
    expect((await create(name, { kty, ...more })).status).toBe(200);
    const body = { alg, value: Buffer.alloc(32, 7).toString('base64url') };
    const signed = await pool.admin('POST', `/keys/${name}/sign`, body);
    expect(signed.status).toBe(200);
    await pool.admin('DELETE', `/keys/${name}`);
    expect((await use()).used - before).toBe(2 * objects);
    await pool.admin('POST', `/deletedkeys/${name}/recover`);
    const { value } = signed.json<{ value: string }>();
    const verified = await pool.admin('POST', `/keys/${name}/verify`, {
      ...{ alg, digest: body.value, value },
    });
    expect(verified.json()).toMatchObject({ value: true });
    await purge(name);
    expect([(await use()).used - before, await intents()]).toEqual([0, []]);
  });

  test('takes in a key from outside, and never lets one out', async () => {
    const path = '/keys/imported';
    expect((await pool.admin('PUT', path, { key: outsideEc('P-256').jwk })).status).toBe(200);
    expect(await signs('imported')).toBe(200);
    expect(codes(await pool.admin('POST', `${path}/backup`))).toEqual([
      ...[403, 'KeyOperationForbidden'],
    ]);
    const blob = { value: Buffer.alloc(100).toString('base64url') };
    expect(codes(await pool.admin('POST', '/keys/restore', blob))).toEqual([
      ...[403, 'KeyOperationForbidden'],
    ]);
    const exportable = { kty: 'EC-HSM', attributes: { exportable: true } };
    const policy = { release_policy: { data: Buffer.from('{}').toString('base64url') } };
    expect((await create('exportable', { ...exportable, ...policy })).status).toBe(400);
    expect((await pool.admin('PATCH', path, { key_ops: ['import'] })).status).toBe(400);
    await purge('imported');
  });

  test('makes no key beyond the limit, warns before it, and leaves nothing half made', async () => {
    const { used } = await use();
    for (let made = used; made < LIMIT; made += 1)
      expect((await create(`fill-${made}`)).status).toBe(200);
    expect(pool.service.output()).toContain('the HSM is nearly full');
    expect(codes(await create('too-many'))).toEqual([403, 'HsmFull']);
    expect([await use(), await intents()]).toEqual([{ used: LIMIT, limit: LIMIT }, []]);
    for (let made = used; made < LIMIT; made += 1) await purge(`fill-${made}`);
    expect((await use()).used).toBe(used);
  });

  test('an HSM that is full before is believed, and nothing is left half made', async () => {
    const { used } = await use();
    await shim.setLines([`limit objects ${used}`]);
    const { jwk } = outsideEc('P-256');
    expect(codes(await pool.admin('PUT', '/keys/no-room', { key: jwk }))).toEqual([403, 'HsmFull']);
    expect(codes(await create('no-room', { kty: 'oct-HSM' }))).toEqual([403, 'HsmFull']);
    // The first of its two objects finds room.
    await shim.setLines([`limit objects ${used + 1}`]);
    expect(codes(await create('half-room', { kty: 'oct-HSM' }))).toEqual([403, 'HsmFull']);
    await shim.setLines([]);
    expect([(await use()).used, (await intents()).filter((one) => one === 'creating')]).toEqual([
      ...[used, []],
    ]);
    expect(await doctor('--mend')).toEqual(['ok objects', 'ok mending']);
  });

  const DIES = {
    'before its object is made': 'crash GenerateKeyPair if template token=true',
    'after its object is made': 'crash GetAttributeValue',
  };
  test.each(Object.entries(DIES))(
    'what a process leaves that dies over a new key, %s, is on record and destroyed',
    async (_when, line) => {
      const { used } = await use();
      await shim.setLines([line]);
      await create('unfinished').catch(() => undefined);
      await shim.setLines([]);
      await untilStatus('/keys/unfinished', 404);
      expect(await intents()).toEqual(['creating']);
      // Nobody is at it any more after ten minutes, and the upkeep of the pool finds it.
      await owner.query("update hsm_object_intent set since = now() - interval '2 hours'");
      await until(async () => (await intents()).length === 0);
      expect([await doctor(), (await use()).used]).toEqual([['ok objects'], used]);
    },
  );

  test('a purge that dies before the objects are destroyed is finished later', async () => {
    const { used } = await use();
    await create('purged');
    await pool.admin('DELETE', '/keys/purged');
    await shim.setLines(['crash DestroyObject']);
    await pool.admin('DELETE', '/deletedkeys/purged').catch(() => undefined);
    await shim.setLines([]);
    await untilStatus('/deletedkeys/purged', 404);
    expect(await intents()).toEqual(['destroying']);
    // Whoever had taken it has died.
    await owner.query("update hsm_object_intent set claimed_until = '-infinity'");
    await until(async () => (await intents()).length === 0);
    expect([await doctor(), (await use()).used]).toEqual([['ok objects'], used]);
  });

  test('an object that a row tells of is not destroyed, whatever the ledger says', async () => {
    await create('kept');
    await owner.query(`insert into hsm_object_intent (pool_id, object_id, version, key_name, state, process, since)
      select pool_id, encode(substr(blob, 2), 'hex'), version, 'kept', 'destroying', 'forged', now() - interval '2 hours'
      from key_version where name_key = 'kept'`);
    expect(await doctor('--mend')).toEqual([
      ...['ok objects', 'warning unproven objects', 'ok mending'],
    ]);
    expect([await intents(), await signs('kept')]).toEqual([[], 200]);
    await purge('kept');
  });

  test.each([
    ['tells of another key’s object', "(select blob from key_version where name_key = 'other')"],
    ['tells of none', "'\\x03'::bytea || decode(repeat('ab', 16), 'hex')"],
  ])('an object whose row was altered and %s is not destroyed', async (_how, blob) => {
    await create('victim');
    await create('other');
    const { rows } = await owner.query<{ blob: Buffer }>(
      "select blob from key_version where name_key = 'victim'",
    );
    await owner.query(`update key_version set blob = ${blob} where name_key = 'victim'`);
    expect(await doctor('--mend')).toEqual(
      expect.arrayContaining(['fault altered rows', 'warning stray objects']),
    );
    await owner.query("update key_version set blob = $1 where name_key = 'victim'", [
      rows[0]?.blob,
    ]);
    expect([await signs('victim'), await doctor('--mend')]).toEqual([
      ...[200, ['ok objects', 'ok mending']],
    ]);
    await purge('victim');
    await purge('other');
  });

  test('an object of which nobody knows is found, and destroyed where that is asked for', async () => {
    await create('lost');
    // As a database is that was put back as of before the key.
    await owner.query("delete from key where name_key = 'lost'");
    expect(await doctor('--mend')).toContain('fault missing rows');
    await owner.query(`delete from audit_witness where row_key like '["lost", %'`);
    expect(await doctor()).toEqual(['ok objects', 'warning stray objects']);
    expect(await doctor('--mend')).toContain('ok mending');
    expect(await doctor()).toEqual(['ok objects']);
  });

  test('whoever can write to the database alone has nothing destroyed', async () => {
    const forged = (name: string, permit: string, more = '') =>
      `insert into hsm_object_intent (pool_id, object_id, version, key_name, state, process, permit, permit_time,
         permit_proof, is_over)
       select v.pool_id, encode(substr(v.blob, 2), 'hex'), v.version, v.name_key, 'destroying', 'removal', ${permit}, true
       from key_version v ${more} where v.name_key = '${name}'`;
    const removed = (name: string) => `delete from key where name_key = '${name}'`;
    const dated = (name: string) =>
      `update key set deleted_at = 1, purge_at = 2 where name_key = '${name}'`;
    const STOLEN = 's.permit, s.permit_time, s.permit_proof';
    const ACTS = {
      'no-proof': [forged('no-proof', 'null, null, null'), removed('no-proof')],
      'no-hmac': [forged('no-hmac', "'removal', 0, sha256('forged')"), removed('no-hmac')],
      // Of another key's removal.
      other: [
        forged('other', STOLEN, "join stolen s on s.key_name = 'gone' and s.permit = 'removal'"),
        removed('other'),
      ],
      // Of its own making.
      making: [forged('making', STOLEN, 'join stolen s using (version)'), removed('making')],
      // The service purges these two, with a record.
      undeleted: [dated('undeleted')],
      deleted: [dated('deleted')],
    };
    const names = Object.keys(ACTS);
    // Whoever reads the ledger all the time has seen every proof.
    await owner.query('create table stolen as select * from hsm_object_intent where false');
    await owner.query(`create function steal() returns trigger language plpgsql security definer as
      'begin insert into public.stolen select new.*; return new; end'`);
    await owner.query(
      'create trigger steal after insert on hsm_object_intent for each row execute function steal()',
    );
    for (const name of [...names, 'gone']) expect((await create(name)).status).toBe(200);
    await purge('gone');
    await pool.admin('DELETE', '/keys/deleted');
    for (const table of ['key', 'key_version'])
      await owner.query(
        `create table saved_${table} as select * from ${table} where name_key = any ($1)`,
        [names],
      );
    for (const act of Object.values(ACTS).flat()) expect((await owner.query(act)).rowCount).toBe(1);
    // The upkeep of the pool has come to all of them, and leaves them alone.
    await until(async () => {
      const { rows } = await owner.query(
        `select from hsm_object_intent where state = 'destroying'
           and claimed_until > case when key_name = 'deleted' then '-infinity' else now() + interval '1 day' end`,
      );
      return rows.length === names.length;
    }, 40_000);
    expect(await doctor('--mend')).toEqual([
      ...['ok objects', 'ok objects in the making', 'warning unproven objects'],
      ...['fault forged intents', 'fault missing rows'],
    ]);
    await owner.query('begin');
    await owner.query('set constraints all deferred');
    await owner.query('insert into key select * from saved_key');
    await owner.query(
      'insert into key_version overriding system value select * from saved_key_version',
    );
    await owner.query('update key set deleted_at = null, purge_at = null');
    await owner.query('delete from hsm_object_intent');
    await owner.query('drop table saved_key, saved_key_version, stolen cascade');
    await owner.query('drop function steal cascade');
    await owner.query('commit');
    // Each of them is there.
    expect(await doctor()).toEqual(['ok objects']);
    for (const name of names) await purge(name);
    expect(await intents()).toEqual([]);
  }, 90_000);

  test('is signed in to and used again after the HSM was lost', async () => {
    await create('again');
    await shim.setAnswers({ '*': 0x30 });
    expect(await signs('again')).toBe(503);
    await shim.setAnswers({});
    await until(async () => (await signs('again')) === 200);
    await purge('again');
  });
});
