import { setTimeout as delay } from 'node:timers/promises';
import { z } from 'zod';
import type { ChangeFeed, StateChange } from '../core/caching/change-feed.ts';
import { STATE_TOPICS } from '../core/caching/change-feed.ts';
import { readServers, type Servers } from './servers.ts';
import { connectFeed, DeafFeedError, type FeedConnection } from './feed-connection.ts';

const HEARTBEAT_EVERY_MS = 250;
/** A feed that hasn't proved itself for so long isn't believed (revocation holds everywhere within a second). */
const BELIEVED_FOR_MS = 1_000;
/** A database from which nothing has come for so long isn't waited for by each request anew. */
const AWAY_AFTER_MS = 2_000;
const RECONNECT_DELAY_MS = { first: 100, most: 1_000 };

const Addressed = z.object({ poolId: z.string() });
const Payload = z.object({ topic: z.enum(STATE_TOPICS), id: z.string() });

export interface ChangeFeedOptions {
  readonly url: string;
  /** Those of the URL, which other connections of this process use as well. */
  readonly servers?: Servers;
  readonly poolId: string;
  readonly onError: (error: unknown) => void;
}

export interface OpenChangeFeed extends ChangeFeed {
  /** How long the last notification took to come; undefined where none has lately. Milliseconds. */
  lagMs(): number | undefined;
  /** A sentence for the operator, where the feed can't work however long one waits. */
  fault(): string | undefined;
  /** A change that this process has just committed. */
  publish(change: StateChange): void;
  close(): Promise<void>;
}

/**
 * This process's own changes come back too, and are published again: where the answer to its COMMIT was lost, that is the only
 * word of them.
 *
 * LISTEN on a connection of its own. A notification that another connection sent less than a second ago and that has come
 * proves that nothing older is missing; that a question is answered on this one would prove nothing, since behind a pooler
 * any server answers.
 */
export async function openChangeFeed(options: ChangeFeedOptions): Promise<OpenChangeFeed> {
  const { servers = readServers(options.url) } = options;
  const listeners: ((change: StateChange | 'reset') => void)[] = [];
  let provenAt = Number.NEGATIVE_INFINITY;
  let lagMs = 0;
  let silence: NodeJS.Timeout | undefined;
  let connection: FeedConnection | undefined;
  let fault: string | undefined;
  let isClosed = false;
  // Asked anew each time: it may have been closed while something was waited for.
  const isOpen = () => !isClosed;

  const publish = (change: StateChange | 'reset') => {
    for (const listener of listeners) listener(change);
    // Whatever is remembered is out of date.
    if (change !== 'reset' && change.topic === 'restored') publish('reset');
  };

  const connect = () =>
    connectFeed({
      servers,
      limitMs: BELIEVED_FOR_MS,
      onChange: (payload) => {
        const change = read(payload, options.poolId);
        if (change !== undefined) publish(change);
      },
      onError: options.onError,
    });

  function isHeard(): void {
    servers.back();
    clearTimeout(silence);
    silence = setTimeout(() => {
      if (isOpen()) servers.away();
    }, AWAY_AFTER_MS);
    silence.unref();
  }

  async function beat(): Promise<void> {
    let wait = RECONNECT_DELAY_MS.first;
    while (isOpen()) {
      try {
        if (connection === undefined) {
          connection = await connect();
          // It has answered, whether notifications come or not.
          isHeard();
          // Whatever was published while nobody listened is unknown.
          publish('reset');
        }
        const began = performance.now();
        await connection.prove();
        lagMs = Math.round(performance.now() - began);
        provenAt = began;
        isHeard();
        fault = undefined;
        wait = RECONNECT_DELAY_MS.first;
        await delay(HEARTBEAT_EVERY_MS);
      } catch (error) {
        provenAt = Number.NEGATIVE_INFINITY;
        const isKnown = error instanceof DeafFeedError && fault === error.message;
        fault = error instanceof DeafFeedError ? error.message : undefined;
        if (isOpen() && !isKnown) options.onError(error);
        // It answers, where only notifications don't come.
        if (error instanceof DeafFeedError) isHeard();
        const broken = connection;
        connection = undefined;
        await broken?.end();
        await delay(wait);
        wait = Math.min(2 * wait, RECONNECT_DELAY_MS.most);
      }
    }
  }

  connection = await connect();
  const beating = beat();
  const isCoherent = () => performance.now() - provenAt < BELIEVED_FOR_MS;
  return {
    isCoherent,
    lagMs: () => (isCoherent() ? lagMs : undefined),
    fault: () => fault,
    subscribe: (listener) => {
      listeners.push(listener);
    },
    publish,
    async close() {
      isClosed = true;
      clearTimeout(silence);
      provenAt = Number.NEGATIVE_INFINITY;
      await connection?.end();
      await beating;
      // It may have been about to connect again.
      await connection?.end();
    },
  };
}

/**
 * What a notification says to this pool; undefined where it is another's. What can't be understood, such as a topic of a
 * newer version, may be anything.
 */
function read(text: string, poolId: string): StateChange | 'reset' | undefined {
  const json = parseJson(text);
  const addressed = Addressed.safeParse(json);
  if (addressed.success && addressed.data.poolId !== poolId) return undefined;
  const payload = Payload.safeParse(json);
  return addressed.success && payload.success ? payload.data : 'reset';
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
