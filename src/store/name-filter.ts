import { type RawBuilder, sql } from 'kysely';
import { type DirectoryFilter } from '../core/directory.ts';

/** Of a table with a display_name. */
export function isNamed({
  displayName,
  displayNamePrefix,
}: Omit<DirectoryFilter, 'appId'>): RawBuilder<boolean> {
  const whole = displayName === undefined ? sql`true` : sql`display_name = ${displayName}`;
  const prefix =
    displayNamePrefix === undefined
      ? sql`true`
      : sql`starts_with(lower(display_name), lower(${displayNamePrefix}))`;
  return sql<boolean>`(${whole} and ${prefix})`;
}
