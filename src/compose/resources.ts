import { randomUUID } from 'node:crypto';
import { createControlAuthorizer } from '../authz/control-authorizer.ts';
import { readControlRoles } from '../authz/control-roles.ts';
import { createAssigneeCheck } from '../core/access/assignee.ts';
import type { Authorizer } from '../core/access/ports.ts';
import { AuditDraft } from '../core/audit/draft.ts';
import type { AgreedClock } from '../core/clock.ts';
import { repeat } from '../core/repeating.ts';
import { createControlRoleService } from '../core/resources/control-role-service.ts';
import { createGroupService } from '../core/resources/group-service.ts';
import { createManagedHsmService } from '../core/resources/managed-hsm-service.ts';
import { createOperationRunner } from '../core/resources/operation-runner.ts';
import type { PoolProvisioner } from '../core/resources/ports.ts';
import type { ResourceParts } from '../http/resources/resource-routes.ts';
import { createTenantCheck } from '../identity/endpoints/metadata.ts';
import { createDirectoryStore } from '../store/directory/directory-store.ts';
import { createUsersAndGroupsStore } from '../store/directory/users-and-groups-store.ts';
import { createControlAssignmentStore } from '../store/resources/control-assignment-store.ts';
import { createGroupStore } from '../store/resources/group-store.ts';
import { createManagedHsmStore } from '../store/resources/managed-hsm-store.ts';
import { createOperationStore } from '../store/resources/operation-store.ts';
import { LIMITS } from './limits.ts';
import type { Base } from './service/base.ts';

export interface ComposedResources {
  readonly app: ResourceParts;
  /** Waits for an operation that is under way. */
  readonly stop: () => Promise<void>;
}

/** The control plane of a tenant. @param base of its home pool */
export async function composeResources(
  {
    context,
    pool,
    settings,
    clock,
    log,
  }: Pick<Base, 'context' | 'pool' | 'settings' | 'clock' | 'log'>,
  {
    provisioner,
    authorizer: poolAuthorizer,
    storeClock,
  }: {
    readonly provisioner: PoolProvisioner;
    /** Of the home pool's data plane, which says who may write the directory. */
    readonly authorizer: Authorizer;
    readonly storeClock: AgreedClock;
  },
): Promise<ComposedResources> {
  const { tenantId } = pool;
  const store = { ...createManagedHsmStore(context), ...createOperationStore(context) };
  const assignments = createControlAssignmentStore(context);
  const roles = await readControlRoles();
  const authorizer = await createControlAuthorizer(assignments, roles);
  const requireAssignee = createAssigneeCheck({
    ...createDirectoryStore(context),
    ...createUsersAndGroupsStore(context),
  });
  const runner = createOperationRunner({
    store,
    provisioner,
    tenantId,
    storeClock,
    newChange: (operation) =>
      new AuditDraft(() => clock.now(), { requestId: randomUUID(), operation }),
    onError: (error, { id, kind, name }) => {
      log.error(
        { err: error, operationId: id, kind, name },
        'an operation on a Managed HSM failed',
      );
    },
  });
  let running = Promise.resolve();
  const runAll = () => {
    running = running
      .then(() => runner.runAll())
      .catch((error: unknown) => {
        log.error({ err: error }, 'operations on Managed HSMs failed: they are tried again');
      });
    return running;
  };
  const onBegun = () => void runAll();
  const stopTimer = repeat(runAll, LIMITS.resourcesEveryMs, Math.random, () => undefined);
  return {
    app: {
      authorizer,
      groups: createGroupService({
        groups: createGroupStore(context),
        hsms: store,
        provisioner,
        clock,
        onBegun,
      }),
      hsms: createManagedHsmService({ store, provisioner, requireAssignee, clock, onBegun }),
      roles: createControlRoleService({
        roles,
        assignments,
        authorizer,
        requireAssignee,
        mayWriteDirectory: (principal) =>
          poolAuthorizer.isAllowedNow(principal, 'Strongroom/directory/write/action', '/'),
      }),
      tenant: { tenantId, domain: settings.domain, isTenant: createTenantCheck(tenantId) },
    },
    async stop() {
      await stopTimer();
      await running;
    },
  };
}
