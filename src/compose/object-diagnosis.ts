import type { Logger } from 'pino';
import { fault, type Finding, findings, ok, warning } from '../core/diagnosis/finding.ts';
import { ABANDONED_AFTER_SECONDS } from '../core/keys/objects/object-keeper.ts';
import type { ObjectId } from '../core/keys/objects/object-id.ts';
import { ServiceError } from '../core/errors.ts';
import type { StoreContext } from '../store/database.ts';
import type { Pkcs11Hsm } from '../hsm/pkcs11-hsm.ts';
import { type ObjectRows, readAllMaterials, readObjectRows } from '../store/keys/object-rows.ts';
import { openHsm, openRootKeys } from './hsm.ts';
import { openObjectKeeper } from './objects.ts';
import type { ServiceSettings } from './service/settings.ts';
import { openStore } from './store.ts';

const NAMED = 5;

/**
 * Whether a resident pool's objects and rows belong together; nothing is said of a sealed pool.
 * @param mends destroys the objects that no key needs
 */
export function examineObjects(
  settings: Pick<ServiceSettings, 'databaseUrl' | 'pool' | 'pkcs11'>,
  log: Logger,
  mends: boolean,
): Promise<readonly Finding[]> {
  return findings('objects', async () => {
    const store = await openStore(settings, log);
    const { context, pool } = store;
    let hsm: Pkcs11Hsm | undefined;
    try {
      if (pool.keeping === 'sealed') return [];
      hsm = openHsm({ pkcs11: settings.pkcs11, sessions: 2 }, pool.keeping, log);
      await openRootKeys(hsm, pool);
      // In this order: an object is on record before it is there, and its row is gone before it is.
      const before = await hsm.listObjects();
      const rows = await readObjectRows(context);
      const after = new Set(await hsm.listObjects());
      const stray = strayOf(before, rows);
      // Whose row was altered, its object may look as if no key needed it.
      const isAtStake = mends || stray.length > 0 || rows.intents.length > 0;
      const doubtful = isAtStake ? await findDoubtful(context, hsm, rows) : rows.rivals;
      const found = [
        describeKept(rows, after),
        ...describeBegun(rows),
        ...describeAbandoned(rows),
        ...describeDoubtful(doubtful),
        ...describeStray(stray, mends, doubtful.length > 0),
        ...describeLimit(settings.pkcs11.objectLimit),
      ];
      if (!mends || doubtful.length > 0) return found;
      if (stray.length > 0) await hsm.destroyObjects(stray);
      const destroyed = await openObjectKeeper(context, pool, hsm, settings, log)?.mend();
      return [
        ...found,
        ok(
          'mending',
          `${stray.length + (destroyed ?? 0)} objects that no key needs were destroyed.`,
        ),
      ];
    } finally {
      await hsm?.close();
      await store.close();
    }
  });
}

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

function describeDoubtful(doubtful: readonly string[]): Finding[] {
  if (doubtful.length === 0) return [];
  return [
    fault(
      'altered rows',
      `${doubtful.length} rows of keys were altered in the database: their seals aren't theirs, or two of them tell of one object: ${list(doubtful)}. \`strongroom doctor --mend\` destroys nothing until they are put right, from a backup of the database: an object that seems to belong to no key may be theirs.`,
    ),
  ];
}

function describeLimit(limit: number | undefined): Finding[] {
  if (limit !== undefined) return [];
  return [
    warning(
      'limit of objects',
      'How many objects the HSM has room for is not known: name it (PKCS11_OBJECT_LIMIT), and it is told before it is reached.',
    ),
  ];
}

function describeKept({ kept }: ObjectRows, objects: ReadonlySet<ObjectId>): Finding {
  const missing = [...kept].filter(([id]) => !objects.has(id)).map(([, owner]) => owner);
  return missing.length === 0
    ? ok('objects', `The HSM holds all ${kept.size} objects that the pool's keys are.`)
    : fault(
        'objects',
        `The HSM lacks ${missing.length} of the ${kept.size} objects that the pool's keys are, which can't be used: ${list(missing)}.`,
      );
}

/** A process may be at them, or has died over them so lately that nobody can tell. */
function describeBegun({ intents }: ObjectRows): Finding[] {
  const begun = intents.filter((intent) => !isAbandoned(intent)).length;
  return begun === 0
    ? []
    : [ok('objects in the making', `${begun} objects are being made or destroyed.`)];
}

function isAbandoned({ ageSeconds }: ObjectRows['intents'][number]): boolean {
  return ageSeconds > ABANDONED_AFTER_SECONDS;
}

function describeAbandoned({ intents }: ObjectRows): Finding[] {
  const abandoned = intents.filter(isAbandoned);
  if (abandoned.length === 0) return [];
  const names = abandoned.map(
    ({ id, state, keyName, process }) => `${id} (${state}, ${keyName}, ${process})`,
  );
  return [
    warning(
      'abandoned objects',
      `${abandoned.length} objects were being made or destroyed when a process ended: ${list(names)}. The service destroys them by itself while it runs, \`strongroom doctor --mend\` at once.`,
    ),
  ];
}

function describeStray(stray: readonly ObjectId[], mends: boolean, isDoubtful: boolean): Finding[] {
  if (stray.length === 0) return [];
  const advice = isDoubtful
    ? 'They are left alone while rows of keys are altered.'
    : mends
      ? 'They are destroyed.'
      : '`strongroom doctor --mend` destroys them. After a restore of the database they may be keys that were made since its backup: then restore a newer one first.';
  return [
    warning(
      'stray objects',
      `The HSM holds ${stray.length} objects of this pool of which the database knows nothing: ${list(stray)}. ${advice}`,
    ),
  ];
}

function list(names: readonly string[]): string {
  const more = names.length - NAMED;
  return names.slice(0, NAMED).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
