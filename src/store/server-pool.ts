import pg from 'pg';
import {
  IS_READ_ONLY,
  IS_PROMOTED,
  type Servers,
  takesChanges,
  takesNoChanges,
} from './servers.ts';

/** Which of the servers is wanted: the one that takes changes, or one that has what the other has and takes none. */
export type ServerRole = 'primary' | 'standby';

export interface ServerPoolOptions extends Omit<pg.PoolConfig, 'connectionString' | 'verify'> {
  /** Statements by which each connection begins. */
  readonly prepare: string;
  readonly role: ServerRole;
}

/** By what a server shows that it isn't the one that is wanted, and what is said of it then. */
const UNFIT = {
  primary: { question: IS_READ_ONLY, error: takesNoChanges },
  standby: { question: IS_PROMOTED, error: takesChanges },
} as const;

/**
 * Connections to whichever server has the role: each new one is asked. Those to the primary of before are given up when there
 * is another; a standby that becomes the primary still answers right.
 */
export function openServerPool(servers: Servers, options: ServerPoolOptions): pg.Pool {
  const { prepare, role, ...config } = options;
  const unfit = UNFIT[role];
  const urls = new WeakMap<object, string>();
  const open = new Set<pg.PoolClient>();

  /** Goes to the server of the moment. */
  class ServerClient extends pg.Client {
    constructor(given?: pg.ClientConfig) {
      const url = servers.current;
      super({ ...given, connectionString: url });
      urls.set(this, url);
    }

    override connect(): Promise<pg.Client>;
    override connect(connected: (error: Error) => void): void;
    override connect(connected?: (error: Error) => void): Promise<pg.Client> | void {
      if (connected === undefined) return super.connect();
      // Though its type says otherwise, there is an error only where there is no connection.
      super.connect((error: Error) => {
        if ((error as Error | undefined) !== undefined) servers.failed(urls.get(this) ?? '');
        connected(error);
      });
    }
  }

  async function verify(client: pg.PoolClient): Promise<void> {
    const url = urls.get(client) ?? '';
    const answers = (await client.query(`${prepare}; ${unfit.question}`)) as unknown;
    const last = (answers as readonly pg.QueryResult<{ isUnfit: boolean }>[]).at(-1);
    if (last?.rows[0]?.isUnfit === true) {
      servers.failed(url);
      throw unfit.error();
    }
    servers.verified(url);
  }

  const pool = new ServerPool(servers, {
    ...config,
    Client: ServerClient,
    verify: (client, done) => {
      verify(client).then(() => {
        done();
      }, done);
    },
  });
  pool.on('connect', (client) => open.add(client));
  pool.on('remove', (client) => open.delete(client));
  if (role === 'primary')
    servers.onMoved((primary) => {
      for (const client of open) if (urls.get(client) !== primary) breakOff(client);
    });
  return pool;
}

type Connected = (
  error: Error | undefined,
  client: pg.PoolClient | undefined,
  done: (error?: Error | boolean) => void,
) => void;

/** Tries each server before it says that there is none. */
class ServerPool extends pg.Pool {
  readonly #servers: Servers;

  constructor(servers: Servers, config: pg.PoolConfig) {
    super(config);
    this.#servers = servers;
  }

  override connect(): Promise<pg.PoolClient>;
  override connect(connected: Connected): void;
  override connect(connected?: Connected): Promise<pg.PoolClient> | void {
    if (this.#servers.isAway) {
      if (connected === undefined) return Promise.reject(isAway());
      connected(isAway(), undefined, () => undefined);
      return;
    }
    if (connected !== undefined && this.#servers.urls.length === 1) {
      super.connect(connected);
      return;
    }
    const connecting = this.#connectToAny();
    if (connected === undefined) return connecting;
    connecting.then(
      (client) => {
        connected(undefined, client, client.release.bind(client));
      },
      (error: unknown) => {
        connected(error as Error, undefined, () => undefined);
      },
    );
  }

  async #connectToAny(): Promise<pg.PoolClient> {
    for (let tried = 1; ; tried += 1) {
      const { current } = this.#servers;
      try {
        return await super.connect();
      } catch (error) {
        // Where it is the same as before, nobody has found another, as when all connections are in use.
        if (tried >= this.#servers.urls.length || this.#servers.current === current) throw error;
      }
    }
  }
}

function isAway(): Error {
  return new Error('the database has not answered for a while');
}

/** Whoever waits for an answer on it hears at once that none will come. */
function breakOff(client: pg.PoolClient): void {
  (
    client as unknown as { connection: { stream: { destroy(): void } } }
  ).connection.stream.destroy();
}
