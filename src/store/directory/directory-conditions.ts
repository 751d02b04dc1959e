import { type RawBuilder, sql } from 'kysely';
import type {
  DirectoryCondition,
  DirectoryFilter,
  DirectoryProperty,
} from '../../core/directory/directory.ts';
import { UUID } from '../cursors.ts';

/** How a property is compared; `caseless` without regard to upper and lower case, as Graph compares names. */
type Comparison = 'uuid' | 'caseless' | 'boolean';

/** What a table has of the properties: an expression over its row, and how it is compared. */
export type ComparableProperties = Partial<
  Record<DirectoryProperty, readonly [RawBuilder<unknown>, Comparison]>
>;

const NEVER = sql<boolean>`false`;

/** Whether a row meets all conditions. One on a property that the table doesn't have is met by no row. */
export function meets(
  filter: DirectoryFilter,
  properties: ComparableProperties,
): RawBuilder<boolean> {
  const conditions = filter.map((condition) => meetsOne(condition, properties));
  return conditions.length === 0
    ? sql<boolean>`true`
    : sql<boolean>`(${sql.join(conditions, sql` and `)})`;
}

function meetsOne(
  { property, operator, value }: DirectoryCondition,
  properties: ComparableProperties,
): RawBuilder<boolean> {
  const [column, comparison] = properties[property] ?? [];
  if (column === undefined) return NEVER;
  if (comparison === 'boolean')
    return typeof value === 'boolean' && operator === 'eq'
      ? sql<boolean>`${column} = ${value}`
      : NEVER;
  if (typeof value === 'boolean') return NEVER;
  if (comparison === 'uuid') {
    // Another text can't be one, and Postgres wouldn't take it.
    const id = value.toLowerCase();
    return operator === 'eq' && UUID.test(id) ? sql<boolean>`${column} = ${id}` : NEVER;
  }
  // Whether letters are upper or lower case never matters to a beginning, as in Graph.
  if (operator === 'startsWith')
    return sql<boolean>`starts_with(lower(${column}), lower(${value}::text))`;
  return sql<boolean>`lower(${column}) = lower(${value}::text)`;
}
