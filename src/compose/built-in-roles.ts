import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { readBuiltInRoles } from '../authz/built-in-roles.ts';
import { effectiveActions } from '../core/access/action-pattern.ts';
import { AuditDraft } from '../core/audit/draft.ts';
import { systemClock } from '../core/clock.ts';
import { seedRoles } from '../store/access/role-definition-store.ts';
import type { StoreContext } from '../store/database.ts';
import { listPools, withPoolLock } from '../store/pool/pool-store.ts';
import { LIMITS } from './limits.ts';
import type { ServiceSettings } from './service/settings.ts';
import { commandContext, openConnections } from './store.ts';

/**
 * Makes a pool's built-in roles those of this version, and lets custom roles' wildcards hold the actions that it knows.
 * @returns the ids of the roles that changed
 * @throws Error that names the first wrong line of policies/roles.csv
 */
export async function updateBuiltInRoles(context: StoreContext): Promise<readonly string[]> {
  const change = new AuditDraft(systemClock.now, {
    requestId: randomUUID(),
    operation: 'RoleDefinitionSeed',
  });
  return seedRoles(context, change, await readBuiltInRoles(), effectiveActions);
}

/**
 * The same for each pool of a database. What it records of that is signed by the first process that serves the pool, since no
 * HSM is asked here.
 * @returns the names of the pools in which a role changed
 */
export async function updateRolesOfAllPools(
  settings: Pick<ServiceSettings, 'databaseUrl'>,
  log: Logger,
): Promise<readonly string[]> {
  const db = openConnections(settings, log, LIMITS.commandConnections);
  const changed: string[] = [];
  try {
    for (const pool of await listPools(db)) {
      const roles = await withPoolLock(db, pool.name, () =>
        updateBuiltInRoles(commandContext(db, pool)),
      );
      if (roles.length > 0) changed.push(pool.name);
    }
  } finally {
    await db.destroy();
  }
  return changed;
}
