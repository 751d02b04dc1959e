import ipaddr from 'ipaddr.js';

/** What IANA has given out for use in the whole of the Internet (RFC 4291 §2.4). */
const GLOBAL_IPV6 = ipaddr.parseCIDR('2000::/3') as [ipaddr.IPv6, number];

/**
 * Whether an address, as a resolver or a socket gives it, is one of the public Internet: of none of IANA's special-purpose
 * registries (RFC 6890), such as loopback, private, shared, link-local (a cloud's metadata) and documentation addresses,
 * multicast, and those that hold an IPv4 address (mapped, NAT64, 6to4, Teredo), whatever that one is.
 */
export function isPublicAddress(address: string): boolean {
  if (!ipaddr.isValid(address)) return false;
  const read = ipaddr.parse(address);
  if (read.range() !== 'unicast') return false;
  return read instanceof ipaddr.IPv4 || read.match(GLOBAL_IPV6);
}

/** A URL's host that is an address and no name, in any spelling that URLs have for one; without brackets. */
export function addressOf(host: string): string | undefined {
  if (!URL.canParse(`http://${host}`)) return undefined;
  const { hostname } = new URL(`http://${host}`);
  const address = hostname.replace(/^\[|\]$/g, '');
  return ipaddr.isValid(address) ? address : undefined;
}

/** 127.0.0.0/8 and ::1, also as an IPv4-mapped address. */
export function isLoopbackAddress(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'loopback';
}
