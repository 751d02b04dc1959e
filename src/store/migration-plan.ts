import { sqlStatements } from './sql-statements.ts';

/** How a table is locked until the migration's transaction has ended: what PostgreSQL calls the mode, and what has to wait. */
type TableLock = 'ShareLock' | 'ShareRowExclusiveLock' | 'AccessExclusiveLock';

/** In the order of their strength. */
const LOCKS: readonly TableLock[] = ['ShareLock', 'ShareRowExclusiveLock', 'AccessExclusiveLock'];

/** What a migration does to a table that is there already. */
export interface TableEffect {
  readonly table: string;
  /** Undefined where rows alone are locked. */
  readonly lock: TableLock | undefined;
  /** All of its rows are read or written under that lock: it lasts the longer, the more there are. */
  readonly readsRows: boolean;
}

interface Rule {
  readonly form: RegExp;
  readonly lock?: TableLock;
  readonly readsRows?: boolean;
}

const TABLE = String.raw`(?:public\.)?"?(?<table>\w+)"?`;
const rule = (form: string, lock?: TableLock, readsRows = false): Rule => ({
  form: new RegExp(`^${form}`, 'i'),
  ...(lock !== undefined && { lock }),
  readsRows,
});

/**
 * PostgreSQL's manual, 13.3.1 and the pages of each statement. The first that fits counts; a statement that none fits is
 * taken for the worst.
 */
const RULES: readonly Rule[] = [
  rule(
    `create (?:unique )?index(?: if not exists)?(?: \\w+)? on (?:only )?${TABLE}`,
    'ShareLock',
    true,
  ),
  rule(`create (?:or replace )?(?:constraint )?trigger .*? on ${TABLE}`, 'ShareRowExclusiveLock'),
  rule(`select witness_table\\('(?<table>\\w+)'`, 'ShareRowExclusiveLock'),
  rule(
    `alter table (?:only )?${TABLE} add (?:constraint \\w+ )?foreign key .* not valid`,
    'ShareRowExclusiveLock',
  ),
  rule(
    `alter table (?:only )?${TABLE} .*(?:set not null|\\btype\\b|add (?:constraint|check|unique|primary|foreign)).*`,
    'AccessExclusiveLock',
    true,
  ),
  rule(`alter table (?:only )?${TABLE}`, 'AccessExclusiveLock'),
  rule(`(?:update|delete from|insert into) (?:only )?${TABLE}`, undefined, true),
  rule(`drop table (?:if exists )?${TABLE}`, 'AccessExclusiveLock'),
];
/** They lock no table that is there, or none for longer than it takes to write a line of a catalogue. */
const HARMLESS =
  /^(?:create (?:or replace )?(?:function|view|sequence|type|table|schema)|grant|revoke|comment|drop function|alter function|select set_config|set )/i;

/** @returns undefined for a statement that isn't known, which may lock anything */
export function effectsOf(sql: string): readonly TableEffect[] | undefined {
  const effects = new Map<string, TableEffect>();
  const made = new Set<string>();
  for (const statement of sqlStatements(sql)) {
    const created = new RegExp(`^create table (?:if not exists )?${TABLE}`, 'i').exec(statement);
    if (created?.groups?.['table'] !== undefined) {
      made.add(created.groups['table']);
      for (const [, referred = ''] of statement.matchAll(/\breferences (\w+)/gi))
        add(referred, 'ShareRowExclusiveLock', false);
      continue;
    }
    const known = RULES.find(({ form }) => form.test(statement));
    if (known === undefined) {
      if (HARMLESS.test(statement)) continue;
      return undefined;
    }
    add(known.form.exec(statement)?.groups?.['table'] ?? '', known.lock, known.readsRows === true);
  }
  return [...effects.values()];

  function add(table: string, lock: TableLock | undefined, readsRows: boolean): void {
    if (made.has(table)) return;
    const before = effects.get(table);
    const stronger = Math.max(
      ...[lock, before?.lock].map((one) => (one ? LOCKS.indexOf(one) : -1)),
    );
    effects.set(table, {
      table,
      lock: LOCKS[stronger],
      readsRows: readsRows || before?.readsRows === true,
    });
  }
}
