import { type LookupAddress, lookup } from 'node:dns';
import type { LookupFunction } from 'node:net';
import { isPublicAddress } from './addresses.ts';

/**
 * A name's addresses, all of which must be public. The connection is made to one of these very ones: who answers for the
 * name can't answer something else for the connection (DNS rebinding).
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses: LookupAddress[]) => {
    const [first] = error === null ? addresses : [];
    if (first === undefined) callback(error ?? notPublic(hostname), '', 0);
    else if (!addresses.every(({ address }) => isPublicAddress(address)))
      callback(notPublic(hostname), '', 0);
    else if (options.all === true) callback(null, addresses);
    else callback(null, first.address, first.family);
  });
};

export function notPublic(hostname: string): NodeJS.ErrnoException {
  return new Error(
    `${hostname} is at no public address: whom no setting names is not asked anywhere else`,
  );
}
