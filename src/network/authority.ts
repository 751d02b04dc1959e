/** Whom a request is for: host and port as a Host header or an absolute URL has them (RFC 9110 §7.2, RFC 3986 §3.2). */
export interface Authority {
  /** In lower case; an IPv6 address in brackets, a name without the dot at its end. */
  readonly host: string;
  /** The dot that a fully qualified name may end with (RFC 1034 §3.1): the same host, but spelled otherwise. */
  readonly dot: '.' | '';
  /** With its colon; empty where there is none. */
  readonly port: string;
}

const FORM =
  /^(?<host>[a-z0-9](?:[a-z0-9.-]{0,252}[a-z0-9])?(?<dot>\.)?|\[[0-9a-f:.]{2,45}\])(?::(?<port>\d{0,5}))?$/i;

/** Undefined for what no URL could have, either (a name whose last label is a number, a port beyond 65535), and no name. */
export function parseAuthority(text: string): Authority | undefined {
  const groups = FORM.exec(text)?.groups;
  if (groups === undefined || text.includes('..') || !URL.canParse(`https://${text}`))
    return undefined;
  const { host = '', dot, port = '' } = groups;
  return {
    host: host.toLowerCase().replace(/\.$/, ''),
    dot: dot === undefined ? '' : '.',
    port: port === '' ? '' : `:${port}`,
  };
}

const ABSOLUTE = /^(?<scheme>https?):\/\/(?<authority>[^/?#]*)(?<rest>(?:[/?#].*)?)$/i;

/** A request target in the forms that are for origin servers; RFC 9112 §3.2.1 and §3.2.2. */
export interface RequestTarget {
  /** Begins with a slash; with the query. */
  readonly path: string;
  /** Of the absolute form: it counts, and not the Host header. */
  readonly authority?: string;
}

/** Undefined for other forms (`*`, which asks about a server as a whole) and for URLs of the other scheme. */
export function parseTarget(target: string, scheme: 'http' | 'https'): RequestTarget | undefined {
  if (target.startsWith('/')) return { path: target };
  const groups = ABSOLUTE.exec(target)?.groups;
  if (groups?.['scheme']?.toLowerCase() !== scheme) return undefined;
  const { authority = '', rest = '' } = groups;
  return { path: rest.startsWith('/') ? rest : `/${rest}`, authority };
}
