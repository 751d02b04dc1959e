import pg from 'pg';
import { OperatorError } from '../core/operator-error.ts';

/** The servers that DATABASE_URL names, of which one is the primary: the only one that takes changes. */
export interface Servers {
  /** Of one each. */
  readonly urls: readonly string[];
  /** URL of the wanted one, as far as is known; else of the one to be tried next. */
  readonly current: string;
  /** It can't be reached, or isn't the wanted one, as a standby takes no changes: the next one is tried. */
  failed(url: string): void;
  /** It is the wanted one. */
  verified(url: string): void;
  /** No server answers, as somebody knows who asks all the time: nobody else needs to wait to find that out. */
  away(): void;
  /** One answers again. */
  back(): void;
  readonly isAway: boolean;
  /** Called with the URL of a primary that isn't the one before, and with none when all are away: connections to others are worth nothing. */
  onMoved(listener: (primary: string | undefined) => void): void;
}

/** By the setting: the servers for which it asks, in libpq's words, and which of them the service needs. */
const SETTINGS = {
  DATABASE_URL: {
    attributes: new Set(['any', 'read-write', 'primary']),
    refusal: 'leads to servers that take no changes; the service needs the primary (read-write)',
  },
  STRONGROOM_AUDIT_DATABASE_URL: {
    attributes: new Set(['any', 'read-only', 'standby', 'prefer-standby']),
    refusal: 'leads to the primary; it has to lead to a standby',
  },
} as const;
type Setting = keyof typeof SETTINGS;
/** libpq's ways of TLS: whoever asks for it gets a server that has shown who it is. */
const TLS_MODES = /^(?:prefer|require|verify-ca)$/;

/**
 * Reads `postgres://user@one:5432,two:5433/database?…`, as libpq writes several hosts (PostgreSQL's manual, 32.1.1.3): in the
 * place of the host, or as lists in `host` and `port`.
 * @param setting by which it was given: of DATABASE_URL the primary is wanted, of the other a standby
 * @throws OperatorError for a list that can't be read, and for servers other than the wanted ones; never with the URL itself
 */
export function readServers(databaseUrl: string, setting: Setting = 'DATABASE_URL'): Servers {
  const urls = split(databaseUrl, setting);
  const listeners: ((primary: string | undefined) => void)[] = [];
  let index = 0;
  let isAway = false;
  let primary: string | undefined;
  const current = () => urls[index] ?? databaseUrl;
  return {
    urls,
    get current() {
      return current();
    },
    failed(url) {
      if (url === current()) index = (index + 1) % urls.length;
    },
    verified(url) {
      // Somebody who began before may have failed there meanwhile.
      index = Math.max(0, urls.indexOf(url));
      const isMoved = primary !== undefined && url !== primary;
      primary = url;
      if (isMoved) for (const listener of listeners) listener(url);
    },
    away() {
      if (isAway) return;
      isAway = true;
      for (const listener of listeners) listener(undefined);
    },
    back() {
      isAway = false;
    },
    get isAway() {
      return isAway;
    },
    onMoved(listener) {
      listeners.push(listener);
    },
  };
}

interface Parts {
  /** With the user and password, up to the hosts. */
  readonly before: string;
  readonly hosts: string;
  readonly path: string;
  readonly query: URLSearchParams;
}

/** Which URL doesn't do, since it knows no lists of hosts. */
function partsOf(url: string): Parts {
  const scheme = url.indexOf('://') + 3;
  const [query = url.length] = [url.indexOf('?')].filter((at) => at >= 0);
  const [end = query] = [url.indexOf('/', scheme)].filter((at) => at >= 0 && at < query);
  const hosts = Math.max(scheme, url.lastIndexOf('@', end) + 1);
  return {
    before: url.slice(0, hosts),
    hosts: url.slice(hosts, end),
    path: url.slice(end, query),
    query: new URLSearchParams(url.slice(query)),
  };
}

function split(databaseUrl: string, setting: Setting): readonly string[] {
  const { before, hosts, path, query: given } = partsOf(databaseUrl);
  const wanted = SETTINGS[setting];
  const attributes = given.get('target_session_attrs');
  if (attributes !== null && !wanted.attributes.has(attributes))
    throw new OperatorError(
      `${setting}: target_session_attrs=${/^[\w-]+$/.test(attributes) ? attributes : '…'} ${wanted.refusal}.`,
    );
  given.delete('target_session_attrs');
  if (TLS_MODES.test(given.get('sslmode') ?? '')) given.set('sslmode', 'verify-full');
  return hostsOf(hosts, given, setting).map(({ host, inQuery }) => {
    const own = new URLSearchParams(given);
    for (const name of ['host', 'port']) {
      const value = inQuery[name as keyof typeof inQuery];
      if (value === undefined) own.delete(name);
      else own.set(name, value);
    }
    const parameters = own.toString();
    return `${before}${host}${path}${parameters === '' ? '' : `?${parameters}`}`;
  });
}

interface Host {
  readonly host: string;
  readonly inQuery: { readonly host?: string; readonly port?: string };
}

function hostsOf(authority: string, given: URLSearchParams, setting: Setting): readonly Host[] {
  const hosts = given.get('host')?.split(',');
  const ports = given.get('port')?.split(',');
  if (hosts === undefined && ports === undefined)
    return authority.split(',').map((host) => ({ host, inQuery: {} }));
  const named = hosts ?? authority.split(',');
  // One port is every host's.
  if (ports !== undefined && ports.length > 1 && ports.length !== named.length)
    throw unreadable(setting);
  return named.map((host, index) => {
    const port = ports?.[ports.length === 1 ? 0 : index];
    const inQuery = {
      ...(hosts !== undefined && { host }),
      ...(port !== undefined && port !== '' && { port }),
    };
    return { host: hosts === undefined ? host : '', inQuery };
  });
}

/** @throws OperatorError where the URL can't be read: the driver's own words may quote the password */
export function openClient(config: pg.ClientConfig, setting: Setting = 'DATABASE_URL'): pg.Client {
  try {
    return new pg.Client(config);
  } catch (error) {
    throw unreadable(setting, error);
  }
}

function unreadable(setting: Setting, cause?: unknown): OperatorError {
  return new OperatorError(`${setting}: it can't be read as the URL of a database.`, { cause });
}

/** Host and port of one of them, or its socket, for people: nothing secret. */
export function nameOfServer(url: string): string {
  const { hosts, query } = partsOf(url);
  const port = query.get('port');
  return `${query.get('host') ?? hosts}${port === null ? '' : `:${port}`}`;
}

/** What PostgreSQL answers to a change, where it takes none. */
export function takesNoChanges(): pg.DatabaseError {
  const error = new pg.DatabaseError('it is a standby, or read-only', 0, 'error');
  error.code = '25006';
  return error;
}

/** What is said of a server that was to be a standby. */
export function takesChanges(): Error {
  return new Error('it is the primary, and no standby');
}

/** Questions of one column and row, which is `true` where the server takes no changes, or is no standby. */
export const IS_READ_ONLY = `select current_setting('transaction_read_only') = 'on' as "isUnfit"`;
export const IS_PROMOTED = `select not pg_is_in_recovery() as "isUnfit"`;

/** @param limitMs of each server. @throws what the driver says of the last server that was tried */
export async function connectToPrimary(
  servers: Servers,
  open: (url: string) => pg.Client,
): Promise<pg.Client> {
  for (let tried = 1; ; tried += 1) {
    const url = servers.current;
    const client = open(url);
    try {
      await client.connect();
      const { rows } = await client.query<{ isUnfit: boolean }>(IS_READ_ONLY);
      if (rows[0]?.isUnfit === true) throw takesNoChanges();
      servers.verified(url);
      return client;
    } catch (error) {
      await client.end().catch(() => undefined);
      servers.failed(url);
      if (tried >= servers.urls.length) throw error;
    }
  }
}
