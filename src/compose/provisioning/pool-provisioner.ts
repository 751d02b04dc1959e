import { randomUUID } from 'node:crypto';
import { AuditDraft } from '../../core/audit/draft.ts';
import { systemClock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { isActive } from '../../core/pool/activation.ts';
import type { PoolProvisioner, WantedPool } from '../../core/resources/ports.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import type { StoreContext } from '../../store/database.ts';
import { setNetworkRules } from '../../store/pool/activation-store.ts';
import {
  deletePool,
  findPool,
  giveUpName,
  listPools,
  type Pool,
  protectFromPurge,
  recoverPool,
  withPoolLock,
} from '../../store/pool/pool-store.ts';
import { tokenOf } from '../service/pool-settings.ts';
import type { ServiceSettings } from '../service/settings.ts';
import { commandContext } from '../store.ts';
import { provisionApart } from './provision-apart.ts';

export interface PoolProvisionerParts {
  readonly settings: ServiceSettings;
  readonly db: StoreContext['db'];
  /** The pool that keeps the directory by which the others go. */
  readonly home: Pick<Pool, 'id' | 'name' | 'tenantId'>;
}

/** No pool is called so: processes that choose tokens for new pools take turns. */
const TOKENS = 'tokens of new pools';

/** Makes pools of a tenant as `strongroom pool create` does; a worker process serves them as it finds them in the database. */
export function createPoolProvisioner(parts: PoolProvisionerParts): PoolProvisioner {
  const { settings, db, home } = parts;

  /** One of the tenant; never its home, which isn't made here. */
  async function find(name: string): Promise<Pool | undefined> {
    const pool = await findPool(db, name);
    return pool !== undefined && !pool.isHome && pool.tenantId === home.tenantId ? pool : undefined;
  }

  async function withPool(
    name: string,
    work: (context: StoreContext, pool: Pool) => Promise<void>,
  ) {
    const pool = await find(name);
    if (pool !== undefined) await work(commandContext(db, pool, home.id), pool);
  }

  /** @throws ServiceError Conflict where each of those that the settings name has a pool */
  async function freeToken(): Promise<string | undefined> {
    const { tokens = [] } = settings;
    // Where the settings name no others, pools share the one that there is: each has root keys of its own.
    if (tokens.length === 0) return undefined;
    const used = new Set((await listPools(db)).map(({ tokenLabel }) => tokenLabel));
    const free = tokens.find(({ tokenLabel }) => !used.has(tokenLabel));
    if (free !== undefined) return free.tokenLabel;
    throw new ServiceError(
      'Conflict',
      'No PKCS#11 token is free for another pool: an operator adds one to the file that STRONGROOM_TOKENS_FILE names.',
    );
  }

  async function make(wanted: WantedPool): Promise<void> {
    const found = await find(wanted.name);
    const tokenLabel = found === undefined ? await freeToken() : found.tokenLabel;
    const { keeping, domain, databaseUrl } = settings;
    await provisionApart({
      kind: 'make',
      settings: {
        ...withoutUndefined({ keeping: found?.keeping ?? keeping }),
        domain,
        databaseUrl,
        pool: wanted.name,
        pkcs11: tokenOf(settings, { name: wanted.name, tokenLabel }),
        softDeleteDays: wanted.softDeleteDays,
        purgeProtection: wanted.purgeProtection,
        administrator: 'none',
        beside: { home: home.name, tokenLabel, administrators: wanted.administrators },
      },
    }).catch((error: unknown) => {
      // What the HSM says, such as that it is full, is for the client; what a setting lacks, for the log.
      const cause = error instanceof OperatorError ? error.cause : undefined;
      throw cause instanceof ServiceError ? cause : error;
    });
  }

  async function update({ name, purgeProtection, network }: WantedPool): Promise<void> {
    await withPool(name, async (context, pool) => {
      if (purgeProtection && !pool.purgeProtection)
        await protectFromPurge(
          context,
          newDraft('PoolPurgeProtect', { after: { purgeProtection: true } }),
        );
      await setNetworkRules(context, network, newDraft('PoolNetworkRules', { after: network }));
    });
  }

  return {
    isFree: async (name) => (await findPool(db, name)) === undefined,

    async stateOf(name) {
      const pool = await find(name);
      return pool && { isActive: isActive(pool.activation) };
    },

    async create(wanted) {
      await withPoolLock(db, TOKENS, () => make(wanted));
      await update(wanted);
    },

    update,

    close: (name) =>
      withPool(name, async (context) => {
        await deletePool(context, newDraft('PoolDelete'));
      }),

    open: (name) =>
      withPool(name, async (context) => {
        await recoverPool(context, newDraft('PoolRecover'));
      }),

    purge: (name) =>
      withPool(name, async (context, pool) => {
        if (pool.keeping === 'resident')
          throw new ServiceError(
            'NotImplemented',
            'The keys of this pool are objects of its HSM: an operator destroys them there.',
          );
        await provisionApart({
          kind: 'destroy',
          pkcs11: tokenOf(settings, pool),
          keeping: pool.keeping,
          poolId: pool.id,
        });
        await giveUpName(context, newDraft('PoolPurge', { before: { name } }));
      }),
  };
}

function newDraft(operation: string, change?: object): AuditDraft {
  const draft = new AuditDraft(systemClock.now, { requestId: randomUUID(), operation });
  draft.note({ change });
  return draft;
}
