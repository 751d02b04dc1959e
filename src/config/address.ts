export interface Address {
  readonly host: string;
  readonly port: number;
}

/** @param text `host:port`, an IPv6 address in brackets */
export function parseAddress(text: string): Address {
  const separator = text.lastIndexOf(':');
  return {
    host: text.slice(0, separator).replace(/^\[|\]$/g, ''),
    port: Number(text.slice(separator + 1)),
  };
}

/** As it stands in a URL. */
export function formatAddress({ host, port }: Address): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}

export function isLoopback({ host }: Address): boolean {
  return host === 'localhost' || host === '::1' || /^127\.\d+\.\d+\.\d+$/.test(host);
}
