import { updateRolesOfAllPools } from '../compose/built-in-roles.ts';
import { required } from '../config/config.ts';
import { createLog } from '../observability/log.ts';
import { requireOwnSessions } from '../store/feed-connection.ts';
import {
  migrate,
  type PlannedEffect,
  type PlannedMigration,
  planMigrations,
} from '../store/migrate.ts';
import type { CliContext } from './cli-context.ts';

export interface MigrateCommandOptions {
  readonly plan?: true;
  readonly json?: true;
}

/** `strongroom migrate`: the schema, then the built-in roles of each pool, which a new version may define otherwise. */
export async function migrateDatabase(
  { readSettings, print }: CliContext,
  options: MigrateCommandOptions,
): Promise<void> {
  const { config, secrets } = readSettings();
  const databaseUrl = required(secrets.databaseUrl, 'DATABASE_URL');
  if (options.plan === true) {
    const planned = await planMigrations(databaseUrl);
    if (options.json === true) print(JSON.stringify({ migrations: planned }, null, 2));
    else for (const line of describe(planned)) print(line);
    return;
  }
  await requireOwnSessions(databaseUrl);
  await migrate(databaseUrl);
  print('The schema is up to date.');
  for (const name of await updateRolesOfAllPools({ databaseUrl }, createLog(config.logLevel)))
    print(`The pool "${name}" has the built-in roles of this version now.`);
}

const WAITS = {
  ShareLock: 'changes wait',
  ShareRowExclusiveLock: 'changes wait',
  AccessExclusiveLock: 'everybody who reads or changes it waits',
};

function describe(planned: readonly PlannedMigration[]): readonly string[] {
  if (planned.length === 0) return ['The schema is up to date: there is nothing to do.'];
  return planned.flatMap(({ name, expands, effects }) => [
    `sql/${name}: ${expands ? 'older versions serve on' : 'older versions must have been stopped'}.`,
    ...(effects === undefined
      ? ['  What it locks can not be told: read it.']
      : effects.length === 0
        ? ['  Locks no table that is there.']
        : effects.map((effect) => `  ${describeEffect(effect)}`)),
  ]);
}

function describeEffect({ table, lock, rows, readsRows, seconds }: PlannedEffect): string {
  const size = `${Math.round(rows)} rows`;
  const time = readsRows && seconds >= 1 ? `some ${Math.ceil(seconds)} s` : 'a moment';
  return lock === undefined
    ? `${table} (${size}): writes rows for ${time}; who changes the same ones waits.`
    : `${table} (${size}): ${WAITS[lock]} for ${time} (${lock}).`;
}
