import { describe, expect, test } from '@jest/globals';
import pg from 'pg';
import { createTestDatabase } from '../support/postgres.ts';

async function query(connectionString: string, sql: string): Promise<unknown[]> {
  const client = new pg.Client({ connectionString });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

const TABLES = `SELECT table_name FROM information_schema.tables WHERE table_schema = 'public' ORDER BY 1`;

describe('a test database', () => {
  test('has the tables that the migrations make, and is nobody else’s', async () => {
    const [first, second] = await Promise.all([createTestDatabase(), createTestDatabase()]);
    await query(first.ownerUrl, 'CREATE TABLE zz_only_here (id int)');
    const [inFirst, inSecond] = await Promise.all(
      [first, second].map(({ ownerUrl }) => query(ownerUrl, TABLES)),
    );
    expect(inSecond?.length).toBeGreaterThan(0);
    expect(inFirst).toEqual([...(inSecond ?? []), { table_name: 'zz_only_here' }]);
    await expect(query(first.serviceUrl, 'SELECT 1 AS one')).resolves.toEqual([{ one: 1 }]);
    await Promise.all([first.drop(), second.drop()]);
    await expect(query(first.ownerUrl, 'SELECT 1')).rejects.toMatchObject({ code: '3D000' });
  });
});
