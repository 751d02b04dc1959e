import type { Logger } from 'pino';
import { type Finding, fault, findings, ok, warning } from '../core/diagnosis/finding.ts';
import type { KeyKeeping } from '../core/keys/key-keeping.ts';
import { judgeLeftovers, type Leftovers } from '../core/recovery/root-keys/leftovers.ts';
import { openDatabase, type StoreContext } from '../store/database.ts';
import { createRootKeyStore } from '../store/recovery/root-keys/root-key-store.ts';
import { findPool } from '../store/pool/pool-store.ts';
import { examineBackups } from './backup-diagnosis.ts';
import { hsmOf, openHsm } from './hsm.ts';
import { openVouchedKeys } from './root-keys.ts';
import { examineSecurityDomain } from './security-domain-diagnosis.ts';
import { commandContext } from './store.ts';
import { findUnopenedKeys } from './unopened-keys.ts';
import type { ServiceSettings } from './service/settings.ts';

/** How the pool keeps its keys; undefined where the database, or the pool in it, isn't there. */
export async function findKeeping(url: string, pool: string): Promise<KeyKeeping | undefined> {
  const db = openDatabase({ url, connections: 1, onIdleError: () => undefined });
  try {
    return (await findPool(db, pool))?.keeping;
  } catch {
    // What is wrong with it is said where the database is examined.
    return undefined;
  } finally {
    await db.destroy();
  }
}

/** Whether the token holds the root keys of the pool that the database knows. */
export function examineRootKeys(
  settings: Pick<ServiceSettings, 'databaseUrl' | 'pool' | 'pkcs11' | 'tried'>,
  log: Logger,
): Promise<readonly Finding[]> {
  return findings('root keys', async () => {
    const { databaseUrl: url } = settings;
    const db = openDatabase({ url, connections: 1, onIdleError: () => undefined });
    try {
      const pool = await findPool(db, settings.pool);
      if (pool === undefined)
        return [
          warning(
            'pool',
            `The database has no pool "${settings.pool}" (STRONGROOM_POOL) yet: \`strongroom bootstrap\` makes it.`,
          ),
        ];
      const hsm = openHsm({ ...hsmOf(settings), sessions: 2 }, pool.keeping, log);
      let unopened: readonly string[];
      let inToken: readonly number[];
      let foreign: Leftovers['foreign'] = [];
      try {
        await openVouchedKeys(commandContext(db, pool), pool, hsm);
        unopened = await findUnopenedKeys({ db, poolId: pool.id }, hsm);
        inToken = await hsm.listRootGenerations();
        const state = await createRootKeyStore(commandContext(db, pool)).readState();
        if (pool.keeping === 'sealed') ({ foreign } = await judgeLeftovers(hsm, state));
      } catch (error) {
        return [fault('root keys', error instanceof Error ? error.message : String(error))];
      } finally {
        await hsm.close();
      }
      return [
        ok(
          'root keys',
          `The token holds those of the pool "${pool.name}", generation ${pool.rootGeneration}, whose keys are ${pool.keeping}.`,
        ),
        ...foreign.map(({ sentence }) => fault('root keys', sentence)),
        ...(await examineGenerations(commandContext(db, pool), inToken, foreign)),
        ...(await examineSecurityDomain(commandContext(db, pool), pool)),
        ...(await examineBackups(commandContext(db, pool), pool)),
        ...(unopened.length === 0 && pool.keeping === 'sealed'
          ? [ok('sealed keys', 'All are wrapped in ways that the module opens.')]
          : unopened.map((sentence) => warning('sealed keys', sentence))),
      ];
    } finally {
      await db.destroy();
    }
  });
}

/**
 * What there is besides the current root keys.
 * @param inToken generations of which the token holds something
 * @param foreign of which something is said already
 */
async function examineGenerations(
  context: StoreContext,
  inToken: readonly number[],
  foreign: Leftovers['foreign'],
): Promise<readonly Finding[]> {
  const { generations, retired, pending } = await createRootKeyStore(context).readState();
  const known = new Set([
    ...generations.map(({ number }) => number),
    ...(pending === undefined ? [] : [pending.number]),
    ...retired.flatMap(({ number, destroyedAt }) => (destroyedAt === undefined ? [number] : [])),
  ]);
  const strays = inToken.filter((number) => !known.has(number));
  const older = generations
    .filter(({ isCurrent, number, rows }) => {
      const isSaid = rows === 0 && foreign.some((one) => one.number === number);
      return !isCurrent && !isSaid;
    })
    .map(({ number, rows, isKept }) =>
      isKept && rows === 0
        ? ok('root keys', `Generation ${number} is kept, and seals nothing any more.`)
        : warning(
            'root keys',
            `Generation ${number} still seals ${rows} keys: a rotation has not ended. The service ends it by itself, and so does \`strongroom root-keys rotate\`.`,
          ),
    );
  return strays.length === 0
    ? older
    : [
        ...older,
        warning(
          'root keys',
          `The token holds root keys of this pool that the database does not know (generation ${strays.join(', ')}): an attempt that was cut off has left them, a database of another time knows them, or somebody has brought them in. No new key is sealed by them. If no such database is kept, destroy them with the HSM's own tools.`,
        ),
      ];
}
