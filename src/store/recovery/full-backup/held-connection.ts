import type { Kysely } from 'kysely';
import type { Tables } from '../../tables.ts';

export interface HeldConnection {
  readonly on: Kysely<Tables>;
  /** Ends it, and what hangs on it: its transaction, its temporary tables. */
  readonly end: () => Promise<void>;
}

/** One connection that stays the same until it is ended. @param db of this one alone */
export async function holdConnection(db: Kysely<Tables>): Promise<HeldConnection> {
  return new Promise<HeldConnection>((resolve, reject) => {
    const held = db.connection().execute(
      (on) =>
        new Promise<void>((release) => {
          resolve({
            on,
            end: async () => {
              release();
              await held;
              await db.destroy();
            },
          });
        }),
    );
    held.catch((error: unknown) => {
      db.destroy().catch(() => undefined);
      reject(error instanceof Error ? error : new Error(String(error)));
    });
  });
}
