import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import { z } from 'zod';
import { type ChangeFeed, type StateChange } from '../core/ports.ts';

/** The one channel; payloads name their pool. */
export const CHANNEL = 'strongroom_change';

const HEARTBEAT_EVERY_MS = 250;
/** A feed that hasn't proved itself for so long isn't believed (revocation holds everywhere within a second). */
const BELIEVED_FOR_MS = 1_000;
const END_LIMIT_MS = 1_000;
const RECONNECT_DELAY_MS = { first: 100, most: 2_000 };

const Payload = z.object({
  poolId: z.string(),
  topic: z.enum(['key', 'assignment', 'role', 'directory', 'setting']),
  id: z.string(),
});

export interface ChangeFeedOptions {
  readonly url: string;
  readonly poolId: string;
  readonly onError: (error: unknown) => void;
}

export interface OpenChangeFeed extends ChangeFeed {
  /** A change that this process has just committed. */
  tell(change: StateChange): void;
  close(): Promise<void>;
}

/**
 * This process's own changes come back too, and are told again: where the answer to its COMMIT was lost, that is the only
 * word of them.
 *
 * LISTEN on a connection of its own. A query's round trip on it delivers every notification committed before the query
 * began (PostgreSQL sends them before it is ready for the next query), so a heartbeat that began less than a second ago
 * and has come back proves that nothing older is missing.
 */
export async function openChangeFeed(options: ChangeFeedOptions): Promise<OpenChangeFeed> {
  const listeners: ((change: StateChange | 'everything') => void)[] = [];
  let provenAt = Number.NEGATIVE_INFINITY;
  let client: pg.Client | undefined;
  const state = { isClosed: false };

  const tell = (change: StateChange | 'everything') => {
    for (const listener of listeners) listener(change);
  };

  async function connect(): Promise<pg.Client> {
    const fresh = new pg.Client({
      connectionString: options.url,
      connectionTimeoutMillis: 5_000,
      query_timeout: BELIEVED_FOR_MS,
      keepAlive: true,
      application_name: 'strongroom change feed',
    });
    fresh.on('notification', ({ payload }) => {
      const read = Payload.safeParse(parseJson(payload));
      if (!read.success) tell('everything');
      else if (read.data.poolId === options.poolId)
        tell({ topic: read.data.topic, id: read.data.id });
    });
    fresh.on('error', options.onError);
    try {
      await fresh.connect();
      await fresh.query(`listen ${CHANNEL}`);
      return fresh;
    } catch (error) {
      await end(fresh);
      throw error;
    }
  }

  async function beat(): Promise<void> {
    let wait = RECONNECT_DELAY_MS.first;
    while (!state.isClosed) {
      try {
        if (client === undefined) {
          client = await connect();
          // Whatever was told while nobody listened is unknown.
          tell('everything');
        }
        const began = performance.now();
        await client.query('select 1');
        provenAt = began;
        wait = RECONNECT_DELAY_MS.first;
        await delay(HEARTBEAT_EVERY_MS);
      } catch (error) {
        provenAt = Number.NEGATIVE_INFINITY;
        options.onError(error);
        const broken = client;
        client = undefined;
        if (broken !== undefined) await end(broken);
        await delay(wait);
        wait = Math.min(2 * wait, RECONNECT_DELAY_MS.most);
      }
    }
  }

  client = await connect();
  const beating = beat();
  return {
    isCoherent: () => performance.now() - provenAt < BELIEVED_FOR_MS,
    subscribe: (listener) => {
      listeners.push(listener);
    },
    tell,
    async close() {
      state.isClosed = true;
      provenAt = Number.NEGATIVE_INFINITY;
      if (client !== undefined) await end(client);
      await beating;
      // It may have been about to connect again.
      if (client !== undefined) await end(client);
    },
  };
}

/** A connection that nothing comes back on is left to itself: whoever waits for its end waits a bounded time. */
async function end(client: pg.Client): Promise<void> {
  await Promise.race([client.end().catch(() => undefined), delay(END_LIMIT_MS)]);
}

function parseJson(text: string | undefined): unknown {
  try {
    return JSON.parse(text ?? '');
  } catch {
    return undefined;
  }
}
