import { parseActionPattern } from './action-pattern.ts';
import { ServiceError } from '../errors.ts';
import { isGuid } from '../guid.ts';
import { confusionOf, roleKey } from './role-name.ts';
import { parseScope, type Permission, type RoleDefinition, type Scope } from './role.ts';

/** A role definition as a caller writes it. */
export interface RequestedDefinition {
  readonly roleName?: string | undefined;
  readonly description?: string | undefined;
  readonly type?: string | undefined;
  readonly permissions?:
    | readonly {
        readonly actions?: readonly string[] | undefined;
        readonly notActions?: readonly string[] | undefined;
        readonly dataActions?: readonly string[] | undefined;
        readonly notDataActions?: readonly string[] | undefined;
      }[]
    | undefined;
  readonly assignableScopes?: readonly string[] | undefined;
}

const LIMITS = { name: 512, description: 1024, permissions: 20, actions: 200, scopes: 100 };
const CUSTOM = /^(CustomRole)?$/i;

/**
 * @param id a GUID in lower case; it is the role's name where there is no other
 * @throws ServiceError BadParameter
 */
export function parseRoleDefinition(id: string, requested: RequestedDefinition): RoleDefinition {
  if (!CUSTOM.test(requested.type ?? ''))
    throw wrong('type', 'it must be CustomRole, which is the only kind that can be written');
  const roleName = requested.roleName ?? '';
  const description = requested.description ?? '';
  if (roleName.length > LIMITS.name) throw wrong('roleName', `at most ${LIMITS.name} characters`);
  if (description.length > LIMITS.description)
    throw wrong('description', `at most ${LIMITS.description} characters`);
  const permissions = requested.permissions ?? [];
  if (permissions.length > LIMITS.permissions)
    throw wrong('permissions', `at most ${LIMITS.permissions}`);
  // A tool that is given a role takes a GUID for an id.
  if (isGuid(roleKey(roleName)) && roleKey(roleName) !== id)
    throw wrong('roleName', 'it must not be the id of another role');
  const confusion = confusionOf(roleName);
  if (confusion !== undefined)
    throw wrong('roleName', `${confusion}, so it could pass for another role's`);
  return {
    id,
    roleName: roleName === '' ? id : roleName,
    description,
    kind: 'custom',
    permissions: permissions.map(parsePermission),
    assignableScopes: parseScopes(requested.assignableScopes ?? []),
  };
}

type RequestedPermission = NonNullable<RequestedDefinition['permissions']>[number];

function parsePermission(requested: RequestedPermission): Permission {
  const { actions = [], notActions = [], dataActions = [], notDataActions = [] } = requested;
  if (actions.length > 0 || notActions.length > 0)
    throw wrong('actions', 'roles here hold data actions only');
  if (dataActions.length + notDataActions.length > LIMITS.actions)
    throw wrong('dataActions', `at most ${LIMITS.actions}`);
  return { dataActions: dataActions.map(spelt), notDataActions: notDataActions.map(spelt) };
}

/** A single action in its own spelling, a pattern in the caller's. */
function spelt(text: string): string {
  const [only] = parseActionPattern(text);
  return text.includes('*') ? text : (only ?? text);
}

function parseScopes(texts: readonly string[]): readonly Scope[] {
  if (texts.length > LIMITS.scopes) throw wrong('assignableScopes', `at most ${LIMITS.scopes}`);
  const scopes = texts.map((text) => {
    const scope = parseScope(text);
    if (scope === undefined) throw wrong('assignableScopes', 'a scope is /, /keys or /keys/{name}');
    return scope;
  });
  return scopes.length === 0 ? ['/'] : [...new Set(scopes)];
}

function wrong(property: string, why: string): ServiceError {
  return new ServiceError('BadParameter', `Property ${property} has an invalid value: ${why}.`);
}
