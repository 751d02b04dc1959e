import { randomBytes } from 'node:crypto';
import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { OperatorError } from '../core/operator-error.ts';
import { fromDriver } from './errors.ts';
import { connectToPrimary, openClient, readServers, type Servers } from './servers.ts';

/** The one channel of changes; payloads name their pool. */
export const CHANNEL = 'strongroom_change';

const END_LIMIT_MS = 1_000;
const PROOF_LIMIT_MS = 1_000;
const CONNECT_LIMIT_MS = 5_000;
/** Where there is another one to be tried. */
const CONNECT_LIMIT_OF_ONE_MS = 2_000;

/** Notifications that other connections send don't reach the one that listens. */
export class DeafFeedError extends OperatorError {
  override readonly name = 'DeafFeedError';

  constructor() {
    super(
      'DATABASE_URL: the database does not pass notifications on to the connection that listens for them, as behind a pooler in transaction or statement mode: connect to PostgreSQL itself, or by way of a pooler in session mode.',
    );
  }
}

export interface FeedConnectionOptions {
  readonly servers: Servers;
  /** Of an answer, and of a notification on its way back. */
  readonly limitMs: number;
  /** What came on the channel of changes. */
  readonly onChange: (payload: string) => void;
  readonly onError: (error: unknown) => void;
}

/** Two connections: one listens and does nothing else, the other sends it what proves that it hears. */
export interface FeedConnection {
  /**
   * Resolves once a notification has come that was sent after the call. PostgreSQL delivers in the order of commits, so all
   * that was committed before the call has come too.
   * @throws DeafFeedError where it was sent and doesn't come; what the driver throws where it can't be sent
   */
  prove(): Promise<void>;
  end(): Promise<void>;
}

/**
 * The listening connection is asked nothing after LISTEN: behind a pooler that gives server connections from hand to hand, a
 * question would have it lent one for that moment, and let through what was waiting there, though the rest is lost. The
 * proof comes from another connection, as changes do, and must come by itself.
 */
export async function connectFeed(options: FeedConnectionOptions): Promise<FeedConnection> {
  const { limitMs } = options;
  const proofs = `strongroom_proof_${randomBytes(8).toString('hex')}`;
  let awaited: { readonly nonce: string; readonly arrived: () => void } | undefined;
  const { servers } = options;
  let primary = servers.current;
  const sender = await connectToPrimary(servers, (url) => {
    primary = url;
    return newClient(options, url);
  });
  const listener = newClient(options, primary);
  const end = async () => {
    await Promise.all([listener, sender].map(endClient));
  };
  listener.on('notification', ({ channel, payload = '' }) => {
    if (channel === CHANNEL) options.onChange(payload);
    else if (channel === proofs && payload === awaited?.nonce) awaited.arrived();
  });
  try {
    await listener.connect();
    await listener.query(`listen ${CHANNEL}; listen ${proofs}`);
  } catch (error) {
    await end();
    throw error;
  }

  return {
    async prove() {
      const nonce = randomBytes(16).toString('hex');
      const seen = { proof: false };
      const arrival = new Promise<void>((resolve) => {
        const arrived = () => {
          seen.proof = true;
          resolve();
        };
        awaited = { nonce, arrived };
      });
      // Nothing is lost with it: its commit needn't wait for the disk.
      await sender.query(
        `select set_config('synchronous_commit', 'off', true), pg_notify($1, $2)`,
        [proofs, nonce],
      );
      const limit = new AbortController();
      await Promise.race([
        arrival,
        delay(limitMs, undefined, { signal: limit.signal }).catch(() => undefined),
      ]);
      limit.abort();
      // Where this process stood still, the time is over before it has read what came.
      if (!seen.proof) await nextTurn();
      if (!seen.proof) throw new DeafFeedError();
    },
    end,
  };
}

/** One that comes late is no proof of a pooler: a machine may stand still for a moment. */
const TRIES = 3;

/**
 * What the service keeps in a session (the channel that it listens on, locks, limits, prepared statements) is lost behind a
 * pooler that gives the sessions from hand to hand.
 * @throws DeafFeedError behind such a one; what the driver throws where the database can't be asked
 */
export async function requireOwnSessions(databaseUrl: string): Promise<void> {
  const feed = await connectFeed({
    servers: readServers(databaseUrl),
    limitMs: PROOF_LIMIT_MS,
    onChange: () => undefined,
    onError: () => undefined,
  }).catch((error: unknown) => {
    throw fromDriver(error);
  });
  try {
    for (let tried = 1; ; tried += 1)
      try {
        await feed.prove();
        return;
      } catch (error) {
        if (!(error instanceof DeafFeedError) || tried >= TRIES) throw fromDriver(error);
      }
  } finally {
    await feed.end();
  }
}

function newClient({ servers, limitMs, onError }: FeedConnectionOptions, url: string): pg.Client {
  const client = openClient({
    connectionString: url,
    connectionTimeoutMillis: servers.urls.length === 1 ? CONNECT_LIMIT_MS : CONNECT_LIMIT_OF_ONE_MS,
    query_timeout: limitMs,
    keepAlive: true,
    application_name: 'strongroom change feed',
  });
  client.on('error', onError);
  return client;
}

/** A connection that nothing comes back on is left to itself: whoever waits for its end waits a bounded time. */
async function endClient(client: pg.Client): Promise<void> {
  await Promise.race([client.end().catch(() => undefined), delay(END_LIMIT_MS)]);
}
