import { setImmediate as nextTurn, setTimeout as delay } from 'node:timers/promises';
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
  readonly onError: (error: unknown) => void;
}

/** What one pool hears. */
export interface PoolFeed extends ChangeFeed {
  /** How long the last notification took to come; undefined where none has lately. Milliseconds. */
  lagMs(): number | undefined;
  /** A sentence for the operator, where the feed can't work however long one waits. */
  fault(): string | undefined;
  /** A change that this process has just committed. */
  publish(change: StateChange): void;
  /** It is told nothing more. */
  leave(): void;
}

/** Of a process: what is heard on one connection is told to the pools that it concerns. */
export interface ProcessFeed {
  /** @param homeId of the pool that keeps the directory for this one: changes of the directory are heard as well */
  of(poolId: string, homeId?: string): PoolFeed;
  isCoherent(): boolean;
  close(): Promise<void>;
}

type Listener = (change: StateChange | 'reset') => void;

/** A pool's own listeners, and what it hears of its home pool. */
interface Subscriber {
  readonly poolId: string;
  readonly homeId: string;
  readonly listeners: Listener[];
}

/**
 * This process's own changes come back too, and are published again: where the answer to its COMMIT was lost, that is the only
 * word of them.
 *
 * LISTEN on a connection of its own. A notification that another connection sent less than a second ago and that has come
 * proves that nothing older is missing; that a question is answered on this one would prove nothing, since behind a pooler
 * any server answers.
 */
export async function openChangeFeed(options: ChangeFeedOptions): Promise<ProcessFeed> {
  const { servers = readServers(options.url) } = options;
  const subscribers = new Set<Subscriber>();
  let provenAt = Number.NEGATIVE_INFINITY;
  let lagMs = 0;
  let silence: NodeJS.Timeout | undefined;
  let connection: FeedConnection | undefined;
  let fault: string | undefined;
  let isClosed = false;
  // Asked anew each time: it may have been closed while something was waited for.
  const isOpen = () => !isClosed;

  function tell({ listeners }: Subscriber, change: StateChange | 'reset'): void {
    for (const listener of listeners) listener(change);
  }

  const tellAll = (change: StateChange | 'reset') => {
    for (const subscriber of subscribers) tell(subscriber, change);
  };

  function publish(poolId: string, change: StateChange | 'reset'): void {
    // After a restore whatever is remembered is out of date.
    const isRestored = change !== 'reset' && change.topic === 'restored';
    for (const subscriber of subscribers) {
      const isOwn = subscriber.poolId === poolId;
      if (isOwn || (subscriber.homeId === poolId && isOfDirectory(change))) {
        if (isOwn || !isRestored) tell(subscriber, change);
        if (isRestored) tell(subscriber, 'reset');
      }
    }
  }

  const connect = () =>
    connectFeed({
      servers,
      limitMs: BELIEVED_FOR_MS,
      onChange: (payload) => {
        const { poolId, change } = read(payload);
        if (poolId === undefined) tellAll(change);
        else publish(poolId, change);
      },
      onError: options.onError,
    });

  /** From the first question on that nothing has answered. */
  function isAsked(): void {
    if (silence !== undefined) return;
    const own = setTimeout(() => {
      isSilent(own).catch(options.onError);
    }, AWAY_AFTER_MS);
    silence = own;
    own.unref();
  }

  /** Where this process stood still, as while a module is opened, an answer may have come that it has not read yet. */
  async function isSilent(timer: NodeJS.Timeout): Promise<void> {
    await nextTurn();
    if (silence === timer && isOpen()) servers.away();
  }

  function isHeard(): void {
    servers.back();
    clearTimeout(silence);
    silence = undefined;
  }

  async function beat(): Promise<void> {
    let wait = RECONNECT_DELAY_MS.first;
    while (isOpen()) {
      isAsked();
      try {
        if (connection === undefined) {
          connection = await connect();
          // It has answered, whether notifications come or not.
          isHeard();
          // Whatever was published while nobody listened is unknown.
          tellAll('reset');
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
    of(poolId, homeId = poolId) {
      const subscriber: Subscriber = { poolId, homeId, listeners: [] };
      subscribers.add(subscriber);
      return {
        // Who hears nothing any more believes nothing that it remembers.
        isCoherent: () => subscribers.has(subscriber) && isCoherent(),
        lagMs: () => (isCoherent() ? lagMs : undefined),
        fault: () => fault,
        subscribe: (listener) => {
          subscriber.listeners.push(listener);
        },
        publish: (change) => {
          publish(poolId, change);
        },
        leave: () => {
          subscribers.delete(subscriber);
        },
      };
    },
    isCoherent,
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

/** What a pool hears of the one that keeps its directory. */
function isOfDirectory(change: StateChange | 'reset'): boolean {
  return change === 'reset' || change.topic === 'directory' || change.topic === 'restored';
}

/**
 * What a notification says, and to which pool: to all of them where it doesn't say. What can't be understood, such as a topic
 * of a newer version, may be anything.
 */
function read(text: string): { poolId?: string; change: StateChange | 'reset' } {
  const json = parseJson(text);
  const addressed = Addressed.safeParse(json);
  if (!addressed.success) return { change: 'reset' };
  const payload = Payload.safeParse(json);
  return { poolId: addressed.data.poolId, change: payload.success ? payload.data : 'reset' };
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
