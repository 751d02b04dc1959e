import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { afterAll, expect, test } from '@jest/globals';
import { migrate } from '../../../src/store/migrate.ts';
import { until } from '../../support/until.ts';
import { useProduction } from '../../support/use-service.ts';

/** The next version's migrations: one that this version bears, and one that it doesn't. */
const folder = pathToFileURL(`${mkdtempSync(join(tmpdir(), 'strongroom-sql-'))}/`);
cpSync(fileURLToPath(new URL('../../../sql', import.meta.url)), fileURLToPath(folder), {
  recursive: true,
});
afterAll(() => {
  rmSync(folder, { recursive: true });
});
const write = (name: string, text: string) => {
  writeFileSync(new URL(name, folder), text);
};

const { production, service, admin } = useProduction({ STRONGROOM_WORKERS: '2' });
const value = Buffer.alloc(32, 7).toString('base64url');

test('a schema that is expanded, and workers that are put in the place of others, cost no request', async () => {
  await admin('POST', '/keys/steady/create', { kty: 'oct-HSM' });
  const answers: number[] = [];
  let isOver = false;
  const work = async (turn: number) => {
    while (!isOver) {
      const { status } =
        turn % 2 === 0
          ? await admin('POST', '/keys/steady/wrapkey', { alg: 'A256KW', value })
          : await admin('POST', `/keys/made-${answers.length}/create`, { kty: 'oct-HSM' });
      answers.push(status);
    }
  };
  const working = Promise.all([0, 1, 2, 3].map(work));
  write(
    '9998_later.sql',
    `-- Expands: versions from before read and write none of it.
     alter table key_version add column later text;
     create table later (pool_id uuid not null references pool, name text not null);`,
  );
  await migrate(production.database.ownerUrl, { folder });
  service.process.kill('SIGHUP');
  await until(() => service.output().includes('the worker processes go by the files'));
  const after = answers.length;
  await until(() => answers.length > after + 20);
  isOver = true;
  await working;
  expect(answers.length).toBeGreaterThan(40);
  expect(answers.filter((status) => status !== 200)).toEqual([]);
  expect(service.output()).toContain('a newer version has added to the schema');
}, 120_000);

test('a schema on which this version could not serve waits until it has ended', async () => {
  write('9999_last.sql', 'alter table later rename to last;');
  const attempt = () => migrate(production.database.ownerUrl, { folder });
  // It has said that it is there.
  await until(async () => {
    const { replicas } = (await admin('GET', '/replicas')).json<{ replicas: readonly object[] }>();
    return replicas.length === 1;
  });
  await expect(attempt()).rejects.toThrow(/sql\/9999_last\.sql .* older versions can't serve/);
  expect((await admin('POST', '/keys/steady/wrapkey', { alg: 'A256KW', value })).status).toBe(200);
});
