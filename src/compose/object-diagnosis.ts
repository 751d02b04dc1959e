import type { Logger } from 'pino';
import { type Finding, findings, ok } from '../core/diagnosis/finding.ts';
import type { ObjectId } from '../core/keys/objects/object-id.ts';
import { judgePermit, type PermitVerdict } from '../core/keys/objects/permit.ts';
import { ServiceError } from '../core/errors.ts';
import type { StoreContext } from '../store/database.ts';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import {
  findMissingKeys,
  type ObjectRows,
  readAllMaterials,
  readObjectRows,
  type RecordedIntent,
} from '../store/keys/object-rows.ts';
import { createObjectLedger } from '../store/keys/object-ledger.ts';
import { hsmOf, openHsm, openRootKeys } from './hsm.ts';
import { openObjectKeeper } from './objects.ts';
import {
  describeAbandoned,
  describeBegun,
  describeDoubtful,
  describeForged,
  describeKept,
  describeLimit,
  describeMissing,
  describeStray,
  describeUnproven,
} from './object-findings.ts';
import type { ServiceSettings } from './service/settings.ts';
import { openStore } from './store.ts';

/**
 * Whether a resident pool's objects and rows belong together; nothing is said of a sealed pool.
 * @param mends destroys the objects that no key needs
 */
export function examineObjects(
  settings: Pick<ServiceSettings, 'databaseUrl' | 'pool' | 'pkcs11' | 'tried'>,
  log: Logger,
  mends: boolean,
): Promise<readonly Finding[]> {
  return findings('objects', async () => {
    const store = await openStore(settings, log);
    const { context, pool } = store;
    let hsm: Pkcs11Hsm | undefined;
    try {
      if (pool.keeping === 'sealed') return [];
      hsm = openHsm({ ...hsmOf(settings), sessions: 2 }, pool.keeping, log);
      await openRootKeys(hsm, pool);
      // In this order: an object is on record before it is there, and its row is gone before it is.
      const before = await hsm.listObjects();
      const rows = await readObjectRows(context);
      const after = new Set(await hsm.listObjects());
      const stray = strayOf(before, rows);
      const intents = await judge(hsm, rows);
      // Whose row was altered or taken away, its object may look as if no key needed it.
      const isAtStake = mends || stray.length > 0 || rows.intents.length > 0;
      const doubtful = isAtStake ? await findDoubtful(context, hsm, rows) : rows.rivals;
      const missing = isAtStake ? await findMissingKeys(context) : [];
      const isDoubtful = doubtful.length + missing.length + intents.forged.length > 0;
      const found = [
        describeKept(rows, after),
        ...describeBegun(intents.good),
        ...describeAbandoned(intents.good),
        ...describeUnproven(intents.unproven, mends, isDoubtful),
        ...describeForged(intents.forged),
        ...describeDoubtful(doubtful),
        ...describeMissing(missing),
        ...describeStray(stray, mends, isDoubtful),
        ...describeLimit(settings.pkcs11.objectLimit),
      ];
      if (!mends || isDoubtful) return found;
      const unproven = intents.unproven.map(({ id }) => id);
      const unneeded = [...stray, ...unproven.filter((id) => !rows.kept.has(id))];
      const destroyed = await hsm.destroyObjects(unneeded);
      await createObjectLedger(context, 'doctor').strike(unproven);
      const more = await openObjectKeeper(context, pool, hsm, settings, log)?.mend();
      return [
        ...found,
        ok(
          'mending',
          `${destroyed.length + (more ?? 0)} objects that no key needs were destroyed.`,
        ),
      ];
    } finally {
      await hsm?.close();
      await store.close();
    }
  });
}

interface JudgedIntents {
  readonly good: readonly RecordedIntent[];
  readonly unproven: readonly RecordedIntent[];
  readonly forged: readonly RecordedIntent[];
}

/** What the ledger says, by what this pool's HSM says of it. */
async function judge(hsm: Pkcs11Hsm, { intents }: ObjectRows): Promise<JudgedIntents> {
  const judged: Record<keyof JudgedIntents, RecordedIntent[]> = {
    ...{ good: [], unproven: [], forged: [] },
  };
  for (const intent of intents) judged[KIND[await judgePermit(hsm, intent)]].push(intent);
  return judged;
}

const KIND: Readonly<Record<PermitVerdict, keyof JudgedIntents>> = {
  ...{ good: 'good', early: 'good', absent: 'unproven', expired: 'unproven', forged: 'forged' },
};

/** Those of which neither a row nor the ledger tells. */
function strayOf(objects: readonly ObjectId[], { kept, intents }: ObjectRows): ObjectId[] {
  const intended = new Set(intents.map(({ id }) => id));
  return objects.filter((id) => !kept.has(id) && !intended.has(id));
}

/** Keys whose rows can't be right: two tell of one object, or a seal isn't that of its row. */
async function findDoubtful(
  context: StoreContext,
  hsm: Pick<Pkcs11Hsm, 'requireIntact'>,
  { rivals }: ObjectRows,
): Promise<readonly string[]> {
  const doubtful = [...rivals];
  for (const material of await readAllMaterials(context))
    try {
      await hsm.requireIntact(material);
    } catch (error) {
      if (!(error instanceof ServiceError) || error.code !== 'KeyIntegrityViolation') throw error;
      doubtful.push(`${material.identity.name}/${material.identity.version}`);
    }
  return [...new Set(doubtful)];
}
