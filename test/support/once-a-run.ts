import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { fromGlobalSetup } from './environment.ts';

/**
 * What takes long to make and can be shared or copied: the first suite of a run that asks for it makes it, while the others
 * wait. It is kept as JSON in the folder of the run.
 */
export async function onceARun<Thing>(name: string, make: () => Promise<Thing>): Promise<Thing> {
  const file = join(fromGlobalSetup('STRONGROOM_TEST_FOLDER'), `${name}.json`);
  return (await read<Thing>(file)) ?? withLock(name, () => readOrMake(file, make));
}

async function readOrMake<Thing>(file: string, make: () => Promise<Thing>): Promise<Thing> {
  const known = await read<Thing>(file);
  if (known !== undefined) return known;
  const thing = await make();
  await writeFile(file, JSON.stringify(thing));
  return thing;
}

async function read<Thing>(file: string): Promise<Thing | undefined> {
  const text = await readFile(file, 'utf8').catch(() => '');
  // It is empty for a moment while it is written.
  return text === '' ? undefined : (JSON.parse(text) as Thing);
}

/** Over all of jest's worker processes. */
async function withLock<Result>(name: string, action: () => Promise<Result>): Promise<Result> {
  const client = new pg.Client({ connectionString: fromGlobalSetup('STRONGROOM_TEST_OWNER_URL') });
  await client.connect();
  try {
    await client.query('SELECT pg_advisory_lock(hashtext($1))', [name]);
    return await action();
  } finally {
    await client.end();
  }
}
