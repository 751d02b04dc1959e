import { addressOf, isLoopbackAddress } from './addresses.ts';
import { parseAuthority } from './authority.ts';

interface OwnHostParts {
  /** The address that the listener is bound to. */
  readonly listensOn: string;
  /** Names that no stranger can point here, in lower case; those below them count too. */
  readonly names?: readonly string[];
}

/**
 * Whether a Host header names a plain HTTP listener as its own callers do. A web page can have a browser call any address by
 * a name of the page's own (DNS rebinding), and then read the answer: such a name is not one of ours. An address can't be
 * rebound; others than loopback ones are taken where the listener is bound to one.
 */
export function createOwnHostCheck({
  listensOn,
  names = [],
}: OwnHostParts): (header: string | undefined) => boolean {
  const isLocal = listensOn === 'localhost' || isLoopbackAddress(listensOn);
  return (header) => {
    const host = parseAuthority(header ?? '')?.host;
    if (host === undefined) return false;
    const address = addressOf(host);
    if (address !== undefined) return !isLocal || isLoopbackAddress(address);
    return ['localhost', ...names].some((name) => host === name || host.endsWith(`.${name}`));
  };
}
