import { createAuthorizer } from '../authz/enforcer.ts';
import { createAccessService } from '../core/access/access-service.ts';
import { createAssigneeCheck } from '../core/access/assignee.ts';
import { createEscalationRules } from '../core/access/escalation-rules.ts';
import { createRoleService } from '../core/access/role-service.ts';
import { createRoleStore } from '../store/access/role-store.ts';
import { createDirectoryStore } from '../store/directory/directory-store.ts';
import { createUsersAndGroupsStore } from '../store/directory/users-and-groups-store.ts';
import { createPrincipalReader } from '../store/directory/principal-reader.ts';
import type { Base } from './service/base.ts';
import { LIMITS } from './limits.ts';
import { directoryContext } from './store.ts';

/** Who may do what: roles, their assignments, and the decision. */
export async function composeAccess({ log, clock, context, feed }: Base) {
  const roles = createRoleStore(context);
  const directory = directoryContext(context);
  const principals = createPrincipalReader(directory);
  const requireAssignee = createAssigneeCheck({
    ...createDirectoryStore(directory),
    ...createUsersAndGroupsStore(directory),
  });
  const authorizer = await createAuthorizer({
    policies: roles,
    feed,
    clock,
    callers: LIMITS.cachedCallers,
    sharedPolicies: LIMITS.sharedPolicies,
    decisions: LIMITS.cachedDecisions,
    onError: (error, question) => {
      log.error({ err: error, ...question }, 'a decision failed: denied');
    },
  });
  return {
    authorizer,
    escalation: createEscalationRules({ policies: roles, clock }),
    roles: createRoleService({ roles, requireAssignee, clock }),
    access: createAccessService({ roles, principals, authorizer, requireAssignee, clock }),
  };
}
