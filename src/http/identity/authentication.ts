import type { RequestHandler } from 'express';
import { ServiceError } from '../../core/errors.ts';
import type { Principal } from '../../core/access/principal.ts';
import type { Tracing } from '../../core/tracing.ts';
import { clientThumbprint } from './client-certificate.ts';
import { contextOf, type RequestContext } from '../context.ts';
import type { Throttle } from '../server/throttle.ts';

/** What a token must have been issued for: keys and all that belongs to a pool, or the directory's Graph calls. */
export type Audience = 'pool' | 'directory';

/** @throws ServiceError Unauthenticated */
export type Authenticate = (
  authorizationHeader: string | undefined,
  options: {
    readonly audience: Audience;
    /** Of the client certificate of the connection, where there is one: asked for when a token is bound to one. */
    readonly thumbprint: () => string | undefined;
    /** The directory is asked, and not what is remembered of it. */
    readonly isFresh?: true;
  },
) => Promise<Principal>;

/**
 * Before anything else is looked at: Azure's clients begin with a request that has neither credential nor body, and must
 * meet a 401 with a challenge, whatever else would be wrong with it. That handshake leaves no audit record; a refused
 * credential does.
 */
export function authentication(
  authenticate: Authenticate,
  audience: Audience,
  throttle: Throttle,
  tracing: Tracing,
): RequestHandler {
  return async (req, res, next) => {
    const context = contextOf(res);
    const credential = req.headers.authorization;
    if (credential === undefined) throw new ServiceError('Unauthenticated', 'No credential.');
    context.audited = true;
    context.audit.note({ operation: 'Authentication' });
    const thumbprint = () => clientThumbprint(req);
    const check: RequestContext['authenticate'] = (how) =>
      authenticate(credential, { audience, thumbprint, ...how });
    const principal = await tracing
      .step('authenticate', () => check())
      .catch(async (error: unknown) => {
        if (error instanceof ServiceError && error.code === 'Unauthenticated')
          await throttle.countRefusal(req.socket.remoteAddress);
        throw error;
      });
    context.principal = principal;
    context.authenticate = check;
    context.audit.note({
      tenantId: principal.tenantId,
      principalId: principal.objectId,
      applicationId: principal.applicationId,
      principalName: principal.displayName,
      operation: 'Unknown',
    });
    await throttle.requirePrincipal(principal.objectId);
    next();
  };
}
