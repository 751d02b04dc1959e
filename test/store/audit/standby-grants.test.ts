import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import {
  auditOfStandby,
  checkpointsOfStandby,
  usageOfStandby,
} from '../../../src/store/audit/standby-audit.ts';
import { createStandbyMarks } from '../../../src/store/audit/standby-marks.ts';
import { createStandbyReader } from '../../../src/store/audit/standby-reader.ts';
import { fromGlobalSetup } from '../../support/environment.ts';
import {
  type Db,
  makePool,
  openConnections,
  openStoreDatabase,
  processOf,
  withClient,
} from '../../support/store.ts';

/** The user of the document, in a database that stands for the standby. */
const README = join(import.meta.dirname, '../../../src/core/audit/README.md');
const ROLE = `reader_${randomBytes(6).toString('hex')}`;
const PASSWORD = randomBytes(12).toString('hex');

const database = await openStoreDatabase();
let url: string;
let connections: Db;
beforeAll(async () => {
  const [, statements = ''] =
    /```sql\n(create role strongroom_audit [^`]*)```/.exec(readFileSync(README, 'utf8')) ?? [];
  await withClient(database.ownerUrl, (owner) =>
    owner.query(statements.replaceAll('strongroom_audit', ROLE).replace("'…'", `'${PASSWORD}'`)),
  );
  url = database.serviceUrl.replace(/\/\/[^@]+@/, `//${ROLE}:${PASSWORD}@`);
  connections = openConnections(url, 2);
});
afterAll(async () => {
  await connections.destroy();
  // Its rights go with the database.
  await database.close();
  await withClient(fromGlobalSetup('STRONGROOM_TEST_OWNER_URL'), (owner) =>
    owner.query(`drop role ${ROLE}`),
  );
});

describe('the user who is granted what the document says', () => {
  test('is enough for all that is read on a standby', async () => {
    const context = processOf(database.db, await makePool(database.db));
    const left: unknown[] = [];
    const reader = createStandbyReader({
      primary: database.db,
      standby: connections,
      marks: createStandbyMarks(database.db, context.poolId, randomUUID()),
      onLeft: (cause) => left.push(cause),
      onBack: () => undefined,
    });
    const page = { limit: 10 };
    const usage = usageOfStandby(reader, context);
    expect(await auditOfStandby(reader, context).listEvents({}, page)).toEqual({ items: [] });
    const checkpoints = checkpointsOfStandby(reader, context);
    expect(await checkpoints.listCheckpoints({ after: 0, limit: 10 })).toEqual([]);
    expect(await usage.listUsage({ period: 'day' }, page)).toEqual({ items: [] });
    expect(await usage.listUnusedKeys(new Date(), page)).toEqual({ items: [] });
    expect(await usage.listExpiringKeys(new Date(), page)).toEqual({ items: [] });
    expect(left).toEqual([]);
  });

  test.each([
    'select blob from key_version',
    'select * from key',
    'select from application_password',
    'select from root_generation',
    'select from role_assignment',
    `insert into audit_event (operation) values ('KeySign')`,
    'delete from standby_mark',
  ])('may not: %s', async (statement) => {
    await expect(withClient(url, (client) => client.query(statement))).rejects.toMatchObject({
      code: '42501',
    });
  });
});
