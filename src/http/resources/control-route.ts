import type { Request, Response } from 'express';
import { ServiceError } from '../../core/errors.ts';
import { requireServed } from '../../core/pool/pool-gate.ts';
import type { ControlAction } from '../../core/resources/actions.ts';
import type { ControlAuthorizer, ControlRights } from '../../core/resources/ports.ts';
import type { ControlScope } from '../../core/resources/scope.ts';
import { contextOf, principalOf, refreshPrincipal, type RequestContext } from '../context.ts';
import { type AnsweringRoute, answeringRoute, requireReadable } from '../route.ts';
import type { Routes } from '../routes.ts';
import { type ArmProvider, parseArmVersion } from './arm-version.ts';

/** A place for routes of the control plane. */
export interface ControlRoutes {
  readonly routes: Routes;
  readonly authorizer: ControlAuthorizer;
}

type RawParams = Readonly<Record<string, string | undefined>>;

/** One operation of the control plane. It is about no key, and sends none. */
interface ControlRoute<Params, Query, Body> extends Omit<
  AnsweringRoute<Params, Query, Body>,
  'key' | 'keyMaterial' | 'action'
> {
  readonly action: ControlAction;
  readonly provider: ArmProvider;
  /** A promise where the path alone doesn't say it. */
  readonly scope: (params: Params) => ControlScope | Promise<ControlScope>;
  /** Reads the path; throws ServiceError. */
  readonly params: (raw: RawParams) => Params;
  /** It answers what its client may see, be it nothing, and so refuses nobody. */
  readonly isList?: true;
}

/** Adds a route of the control plane: decided by roles of its own, and on record as all others are. */
export function controlRoute<Params, Query = undefined, Body = undefined>(
  { routes, authorizer }: ControlRoutes,
  definition: ControlRoute<Params, Query, Body>,
): void {
  const { operation, action, provider, isList = false } = definition;
  const { gate, tracing } = routes.services;

  const admit = async (req: Request, res: Response) => {
    const context = contextOf(res);
    context.audit.note({ operation, action });
    requireReadable(req.url);
    context.apiVersion = parseArmVersion(req.query['api-version'], provider);
    const params = definition.params(req.params as RawParams);
    const scope = await definition.scope(params);
    context.audit.note({ scope });
    if (!isList)
      await tracing.step('authorise', () => requireAllowed(authorizer, context, action, scope));
    if (!gate.isOpenTo(undefined)) await requireServed(gate, { action });
    return { context, params };
  };
  answeringRoute(routes, { ...definition, key: null, keyMaterial: 'none' }, admit);
}

/** What the client may do, for a list to show it what it may see. */
export function rightsOf(
  { authorizer }: ControlRoutes,
  context: RequestContext,
): Promise<ControlRights> {
  return authorizer.rightsOf(principalOf(context));
}

/** Before a refusal, the client's groups are read anew: a grant holds from its acknowledgement on. */
async function requireAllowed(
  authorizer: ControlAuthorizer,
  context: RequestContext,
  action: ControlAction,
  scope: ControlScope,
): Promise<void> {
  const held = await authorizer.rightsOf(principalOf(context));
  if (held.isAllowed(action, scope)) return;
  const heldNow = await authorizer.rightsOf(await refreshPrincipal(context));
  if (heldNow.isAllowed(action, scope)) return;
  const { objectId } = principalOf(context);
  throw new ServiceError(
    'AuthorizationFailed',
    `The client with object id '${objectId}' does not have authorization to perform action '${action}' over scope '${scope}'.`,
  );
}
