import { createLog } from '../../observability/log.ts';
import { listPools, type Pool } from '../../store/pool/pool-store.ts';
import type { CliContext } from '../cli-context.ts';
import { openStoreOf } from '../open-pool.ts';

export interface ListOptions {
  readonly json?: true;
}

/** `strongroom pool list`: asks the database alone. */
export async function listAllPools(context: CliContext, { json }: ListOptions): Promise<void> {
  const { config } = context.readSettings();
  const opened = await openStoreOf(context, createLog(config.logLevel));
  try {
    const pools = await listPools(opened.context.db);
    context.print(
      json === true
        ? JSON.stringify(pools.map(report), null, 2)
        : pools.map((pool) => describe(pool, pools)).join('\n'),
    );
  } finally {
    await opened.close();
  }
}

function report(pool: Pool) {
  return {
    id: pool.id,
    name: pool.name,
    tenantId: pool.tenantId,
    keepsDirectory: pool.isHome,
    keys: pool.keeping,
    tokenLabel: pool.tokenLabel ?? null,
    rootGeneration: pool.rootGeneration,
    activation: pool.activation ?? null,
    softDeleteDays: pool.softDeleteDays,
    purgeProtection: pool.purgeProtection,
    deletedAt: pool.deletedAt?.toISOString() ?? null,
    purgeAt: pool.purgeAt?.toISOString() ?? null,
  };
}

function describe(pool: Pool, pools: readonly Pool[]): string {
  const home = pools.find(({ isHome, tenantId }) => isHome && tenantId === pool.tenantId);
  const state =
    pool.deletedAt === undefined
      ? `keys ${pool.keeping}, root keys of generation ${pool.rootGeneration}`
      : `deleted ${pool.deletedAt.toISOString()}${pool.purgeAt === undefined ? '' : `, can be recovered until ${pool.purgeAt.toISOString()}`}`;
  const token = pool.tokenLabel === undefined ? '' : `, token "${pool.tokenLabel}"`;
  const directory = pool.isHome
    ? 'keeps its directory'
    : `goes by the directory of ${home?.name ?? 'a pool that is not here'}`;
  return `${pool.name}: ${state}${token}; ${directory}`;
}
