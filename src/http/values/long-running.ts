import type { RequestContext } from '../context.ts';
import { WithHeaders } from '../send.ts';

/** After which clients ask again; without it Azure's wait 30 seconds. */
const RETRY_AFTER_SECONDS = '5';

/**
 * The response (202) to a request that begins an operation which lasts: Azure's pollers ask at this address, as it stands.
 * It has no api-version, so that it is the same whatever the client speaks.
 */
export function begun({ host }: RequestContext, statusPath: string, body: object): WithHeaders {
  const url = `https://${host.authority}${statusPath}`;
  return new WithHeaders(body, ['Azure-AsyncOperation', url, 'Retry-After', RETRY_AFTER_SECONDS]);
}

/** How far it is. */
export function underWay(body: object): WithHeaders {
  return new WithHeaders(body, ['Retry-After', RETRY_AFTER_SECONDS]);
}
