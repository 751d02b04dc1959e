import type { ControlRoleService } from '../../core/resources/control-role-service.ts';
import type { GroupService } from '../../core/resources/group-service.ts';
import type { ManagedHsmService } from '../../core/resources/managed-hsm-service.ts';
import type { ControlAuthorizer } from '../../core/resources/ports.ts';
import type { Routes } from '../routes.ts';
import { addControlRoleRoutes } from './control-roles.routes.ts';
import { addDeletedManagedHsmRoutes } from './deleted-managed-hsms.routes.ts';
import { addGroupRoutes } from './groups.routes.ts';
import { addManagedHsmRoutes, type HsmTenant } from './managed-hsms.routes.ts';
import { addResourceListRoutes } from './resources.routes.ts';
import { addSubscriptionRoutes } from './subscriptions.routes.ts';

export interface ResourceParts {
  readonly authorizer: ControlAuthorizer;
  readonly groups: GroupService;
  readonly hsms: ManagedHsmService;
  readonly roles: ControlRoleService;
  readonly tenant: HsmTenant;
}

/** The control plane of a tenant, in the shape of Azure Resource Manager. */
export function addResourceRoutes(routes: Routes, parts: ResourceParts): void {
  const { authorizer, groups, hsms, roles, tenant } = parts;
  const control = { routes, authorizer };
  addSubscriptionRoutes(control, groups, tenant.tenantId);
  addGroupRoutes(control, groups);
  addResourceListRoutes(control, hsms);
  addManagedHsmRoutes(control, hsms, tenant);
  addDeletedManagedHsmRoutes(control, hsms);
  addControlRoleRoutes(control, roles);
}
