import { type Action } from '../../core/access/actions.ts';
import { ServiceError } from '../../core/errors.ts';
import { type Authorizer } from '../../core/access/ports.ts';
import { type Scope } from '../../core/access/role.ts';
import { refreshPrincipal, principalOf, type RequestContext } from '../context.ts';

/**
 * Allowed by what is remembered, or by what is read anew: nobody is refused by memory alone. So a grant holds from its
 * acknowledgement on, whichever process answers.
 */
export async function isAllowed(
  authorizer: Authorizer,
  context: RequestContext,
  action: Action,
  scope: Scope,
): Promise<boolean> {
  if (await authorizer.isAllowed(principalOf(context), action, scope)) return true;
  return authorizer.isAllowedNow(await refreshPrincipal(context), action, scope);
}

/** @throws ServiceError AccessDenied */
export async function requireAllowed(
  authorizer: Authorizer,
  context: RequestContext,
  action: Action,
  scope: Scope,
): Promise<void> {
  if (await isAllowed(authorizer, context, action, scope)) return;
  throw new ServiceError('AccessDenied', `Not authorized to access ${action} on ${scope}`);
}
