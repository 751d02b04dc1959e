import { randomUUID } from 'node:crypto';
import type { Logger } from 'pino';
import { byOperator } from '../core/access/escalation-rules.ts';
import type { AuditRecord } from '../core/audit/record.ts';
import { AuditDraft } from '../core/audit/draft.ts';
import type { KeyKeeping } from '../core/keys/key-keeping.ts';
import { systemClock } from '../core/clock.ts';
import { ADMINISTRATOR_ROLE, CRYPTO_OFFICER_ROLE, CRYPTO_USER_ROLE } from '../core/access/role.ts';
import { ServiceError } from '../core/errors.ts';
import { OWNER_ROLE } from '../core/resources/control-role.ts';
import type { Activation } from '../core/pool/activation.ts';
import { OperatorError } from '../core/operator-error.ts';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import type { StoreContext } from '../store/database.ts';
import {
  createPool,
  findPool,
  type Pool,
  protectFromPurge,
  recordGeneration,
  withPoolLock,
} from '../store/pool/pool-store.ts';
import { activatePool } from '../store/pool/activation-store.ts';
import { createRoleStore } from '../store/access/role-store.ts';
import { createSigningKeyStore } from '../store/directory/token-signing-key-store.ts';
import { recordActivation } from './activation.ts';
import { grantControlRole } from './control-access.ts';
import { updateBuiltInRoles } from './built-in-roles.ts';
import { openDirectory } from './directory.ts';
import { openHsm, requireKeeping, requireSigningKeys } from './hsm.ts';
import { makeBackupKeys, openVouchedKeys } from './root-keys.ts';
import { LIMITS } from './limits.ts';
import { openObjectKeeper } from './objects.ts';
import type { ServiceSettings } from './service/settings.ts';
import { openSignedLog, type SignedLog } from './signed-log.ts';
import { commandContext, openConnections } from './store.ts';
import { openTokenSigningKeys } from './token-signing-keys.ts';

export interface BootstrapSettings extends Omit<ServiceSettings, 'limits' | 'keeping' | 'replica'> {
  readonly softDeleteDays: number;
  readonly purgeProtection: boolean;
  /** Of a pool that is made; one that is there must have its keys so already. */
  readonly keeping?: KeyKeeping | undefined;
  /**
   * Whether to make an administrator: `none`; `administrator`, who holds Managed HSM Administrator; `developer`, who holds
   * Crypto Officer and Crypto User besides.
   */
  readonly administrator: 'none' | 'administrator' | 'developer';
  /** Activates the pool without a security domain: its HSM keeps copies of its own, or it is for development. */
  readonly activation?: 'hsm' | 'embedded';
  /** Of a pool besides the default one. */
  readonly beside?: BesideSettings;
  /** Whether it must not be there yet. */
  readonly isNew?: true;
}

/** What a pool besides the default one is made with. */
interface BesideSettings {
  /** The name of the pool by whose directory it goes; undefined for one that keeps its own. */
  readonly home: string | undefined;
  /** Of the token that the settings of the HSM name; undefined where it is the default pool's. */
  readonly tokenLabel: string | undefined;
  /** Object ids of those who hold Managed HSM Administrator at `/` at first. */
  readonly administrators: readonly string[];
}

/** The secret is given here and never again. */
interface BootstrapAdministrator {
  readonly clientId: string;
  readonly clientSecret: string;
  readonly principalId: string;
}

interface Bootstrapped {
  readonly administrator: BootstrapAdministrator | undefined;
  /** Of the pool; undefined for one from before there was such a thing. */
  readonly activation: Activation | undefined;
}

const ROLES = {
  none: [],
  administrator: [ADMINISTRATOR_ROLE],
  developer: [ADMINISTRATOR_ROLE, CRYPTO_OFFICER_ROLE, CRYPTO_USER_ROLE],
} as const;
const ROOT_GENERATION = 1;

/**
 * Makes what a pool has once, as far as it isn't there: its root keys, its record, the built-in roles, the directory's
 * signing key; and an administrator where one is asked for. Several processes at once take turns.
 * @throws Error with a sentence for the operator
 */
export async function bootstrap(settings: BootstrapSettings, log: Logger): Promise<Bootstrapped> {
  const db = openConnections(settings, log, LIMITS.commandConnections);
  let hsm: Pkcs11Hsm | undefined;
  let keeping: KeyKeeping = settings.keeping ?? 'sealed';
  const opened = () => (hsm ??= openHsm(settings, keeping, log));
  try {
    return await withPoolLock(db, settings.pool, async () => {
      const found = await findPool(db, settings.pool);
      if (found !== undefined && settings.isNew === true) throw isThere(found);
      const home = await findDirectory(db, settings.beside?.home);
      if (found === undefined) await requireSigningKeys(opened());
      else keeping = requireKeeping(found, settings.keeping);
      const pool = found ?? (await makePool(opened(), settings, home));
      const context = commandContext(db, pool, home?.id);
      const keeper = () => openObjectKeeper(context, pool, opened(), settings, log);
      if (found === undefined)
        await createPool(context, pool, newChange('PoolCreate', { after: describe(pool) }));
      if (settings.purgeProtection && !pool.purgeProtection)
        await protectFromPurge(
          context,
          newChange('PoolPurgeProtect', { after: { purgeProtection: true } }),
        );
      if (found !== undefined) await ensureActivation(context, settings.activation);
      await updateBuiltInRoles(context);
      if (found === undefined) await makeBackupKeys(context, pool, opened());
      else await recordGeneration(context, pool, newChange('RootKeysRecord'));
      if (pool.isHome && (await createSigningKeyStore(context).listSigningKeys()).length === 0) {
        await openVouchedKeys(context, pool, opened());
        const options = { keeper: keeper() };
        const signingKeys = openTokenSigningKeys(context, opened(), options);
        await signingKeys.ensure(newChange('SigningKeyCreate'));
      }
      const administrator =
        settings.administrator === 'none'
          ? undefined
          : await makeAdministrator(context, ROLES[settings.administrator]);
      await assign(context, settings.beside?.administrators ?? [], [ADMINISTRATOR_ROLE]);
      if (administrator !== undefined)
        await grantControlRole(context, {
          principalId: administrator.principalId,
          role: OWNER_ROLE,
          scope: '/',
        });
      if (context.chain.grown() > 0) {
        await openVouchedKeys(context, pool, opened());
        await signAuditLog(context, openSignedLog(context, pool, opened(), systemClock, keeper()));
      }
      const { activation } = (await findPool(db, settings.pool)) ?? pool;
      return { administrator, activation };
    });
  } catch (error) {
    // What is made already stays: with more room the next attempt goes on.
    if (error instanceof ServiceError && error.code === 'HsmFull')
      throw new OperatorError(error.message, { cause: error });
    throw error;
  } finally {
    await hsm?.close();
    await db.destroy();
  }
}

/** By whoever may start the service. */
function newChange(operation: string, change?: AuditRecord['change']): AuditDraft {
  const draft = new AuditDraft(systemClock.now, { requestId: randomUUID(), operation });
  draft.note({ change });
  return draft;
}

function describe({
  name,
  tenantId,
  softDeleteDays,
  purgeProtection,
  rootGeneration,
  keeping,
  activation,
}: Pool) {
  return { name, tenantId, softDeleteDays, purgeProtection, rootGeneration, keeping, activation };
}

/** Of a pool that is there: as its operator says now, where nothing has activated it yet. */
async function ensureActivation(
  context: StoreContext,
  activation: BootstrapSettings['activation'],
): Promise<void> {
  if (activation === undefined) await recordActivation(context);
  else
    await activatePool(context, activation, newChange('PoolActivation', { after: { activation } }));
}

/** Makes the key that signs the audit log, too: no request waits for it then. */
async function signAuditLog(context: StoreContext, log: SignedLog): Promise<void> {
  await log.certifiedKeys.signer('audit');
  context.chain.end();
  await log.checkpoints([context.chain]).sign();
}

/** Its root keys; what it is to be recorded as. */
async function makePool(
  hsm: Pkcs11Hsm,
  settings: BootstrapSettings,
  home: Pool | undefined,
): Promise<Pool> {
  const id = randomUUID();
  hsm.createRootKeys(id, ROOT_GENERATION);
  return {
    id,
    name: settings.pool,
    tenantId: home?.tenantId ?? randomUUID(),
    isHome: home === undefined,
    tokenLabel: settings.beside?.tokenLabel,
    restores: 0,
    softDeleteDays: settings.softDeleteDays,
    purgeProtection: settings.purgeProtection,
    rootGeneration: ROOT_GENERATION,
    rootCheck: await hsm.rootCheck(id),
    keeping: hsm.keeping,
    // What is in the HSM alone has no security domain: copies of it are the HSM's own matter.
    activation: hsm.keeping === 'resident' ? 'hsm' : (settings.activation ?? 'none'),
  };
}

/** An application with a secret and a service principal that holds the roles at `/`. */
async function makeAdministrator(
  context: StoreContext,
  roles: readonly string[],
): Promise<BootstrapAdministrator> {
  const directory = openDirectory(context, systemClock);
  const change = () => byOperator(newChange('Bootstrap'));
  const application = await directory.createApplication('Bootstrap administrator', change());
  const { secret } = await directory.addPassword(application.id, {}, change());
  const principal = await directory.createServicePrincipal(application.appId, change());
  await assign(context, [principal.id], roles);
  return { clientId: application.appId, clientSecret: secret, principalId: principal.id };
}

/** Each of the roles at `/`, to each of them, as far as an attempt before hasn't. */
async function assign(
  context: StoreContext,
  principalIds: readonly string[],
  roles: readonly string[],
): Promise<void> {
  const roleStore = createRoleStore(context);
  const now = Math.floor(systemClock.now().getTime() / 1000);
  for (const principalId of principalIds)
    for (const roleDefinitionId of roles) {
      const assignment = { id: randomUUID(), principalId, roleDefinitionId, scope: '/' } as const;
      const change = byOperator(newChange('Bootstrap', { after: assignment }));
      await roleStore.putAssignment(assignment, now, change).catch((error: unknown) => {
        if (!(error instanceof ServiceError && error.code === 'RoleAssignmentExists')) throw error;
      });
    }
}

async function findDirectory(
  db: StoreContext['db'],
  name: string | undefined,
): Promise<Pool | undefined> {
  if (name === undefined) return undefined;
  const home = await findPool(db, name);
  if (home?.isHome === true) return home;
  throw new OperatorError(
    `The pool "${name}" (STRONGROOM_POOL) keeps no directory that another pool could go by.`,
  );
}

function isThere({ name, deletedAt }: Pool): OperatorError {
  return new OperatorError(
    deletedAt === undefined
      ? `There is a pool "${name}" already.`
      : `There is a deleted pool "${name}": \`strongroom pool recover\` has it serve again.`,
  );
}
