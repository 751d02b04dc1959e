import { fault, type Finding, ok, warning } from '../core/diagnosis/finding.ts';
import { ABANDONED_AFTER_SECONDS } from '../core/keys/objects/object-keeper.ts';
import type { ObjectId } from '../core/keys/objects/object-id.ts';
import type { ObjectRows, RecordedIntent } from '../store/keys/object-rows.ts';

/** What `strongroom doctor` says of a resident pool's objects, a finding each. */
const NAMED = 5;

export function describeDoubtful(doubtful: readonly string[]): Finding[] {
  if (doubtful.length === 0) return [];
  return [
    fault(
      'altered rows',
      `${doubtful.length} rows of keys were altered in the database: their seals aren't theirs, or two of them tell of one object: ${list(doubtful)}. \`strongroom doctor --mend\` destroys nothing until they are put right, from a backup of the database: an object that seems to belong to no key may be theirs.`,
    ),
  ];
}

export function describeLimit(limit: number | undefined): Finding[] {
  if (limit !== undefined) return [];
  return [
    warning(
      'limit of objects',
      'How many objects the HSM has room for is not known: name it (PKCS11_OBJECT_LIMIT), and it is told before it is reached.',
    ),
  ];
}

export function describeKept({ kept }: ObjectRows, objects: ReadonlySet<ObjectId>): Finding {
  const missing = [...kept].filter(([id]) => !objects.has(id)).map(([, owner]) => owner);
  return missing.length === 0
    ? ok('objects', `The HSM holds all ${kept.size} objects that the pool's keys are.`)
    : fault(
        'objects',
        `The HSM lacks ${missing.length} of the ${kept.size} objects that the pool's keys are, which can't be used: ${list(missing)}.`,
      );
}

/** A process may be at them, or has died over them so lately that nobody can tell. */
export function describeBegun(intents: readonly RecordedIntent[]): Finding[] {
  const begun = intents.filter((intent) => !isAbandoned(intent)).length;
  return begun === 0
    ? []
    : [ok('objects in the making', `${begun} objects are being made or destroyed.`)];
}

function isAbandoned({ ageSeconds }: RecordedIntent): boolean {
  return ageSeconds > ABANDONED_AFTER_SECONDS;
}

export function describeAbandoned(intents: readonly RecordedIntent[]): Finding[] {
  const abandoned = intents.filter(isAbandoned);
  if (abandoned.length === 0) return [];
  return [
    warning(
      'abandoned objects',
      `${abandoned.length} objects were being made or destroyed when a process ended: ${list(abandoned.map(nameOf))}. The service destroys them by itself while it runs, \`strongroom doctor --mend\` at once.`,
    ),
  ];
}

function nameOf({ id, state, keyName, process }: RecordedIntent): string {
  return `${id} (${state}, ${keyName}, ${process})`;
}

export function describeUnproven(
  unproven: readonly RecordedIntent[],
  mends: boolean,
  isDoubtful: boolean,
): Finding[] {
  if (unproven.length === 0) return [];
  const advice = isDoubtful
    ? 'They are left alone while the rows are in doubt.'
    : mends
      ? 'They are destroyed.'
      : '`strongroom doctor --mend` destroys them where no key is missing. Ask `strongroom audit verify` first.';
  return [
    warning(
      'unproven objects',
      `Of ${unproven.length} objects the database says that they are to be destroyed, and this pool's HSM doesn't: they were begun before there were proofs, or more than a day ago, or whoever can write to the database has put them there: ${list(unproven.map(nameOf))}. The service leaves them alone. ${advice}`,
    ),
  ];
}

export function describeForged(forged: readonly RecordedIntent[]): Finding[] {
  if (forged.length === 0) return [];
  return [
    fault(
      'forged intents',
      `Of ${forged.length} objects the database says that they are to be destroyed, by a proof that isn't of this pool's HSM, or by that of a key that was made: ${list(forged.map(nameOf))}. Somebody has written to the database. Nothing is destroyed: ask \`strongroom audit verify\` what else was altered, put that right, and delete these rows of hsm_object_intent.`,
    ),
  ];
}

export function describeMissing(missing: readonly string[]): Finding[] {
  if (missing.length === 0) return [];
  return [
    fault(
      'missing rows',
      `The audit log says of ${missing.length} rows of keys that they are there, and they aren't: ${list(missing)}. \`strongroom doctor --mend\` destroys nothing until they are back, from a backup of the database: an object that seems to belong to no key may be theirs.`,
    ),
  ];
}

export function describeStray(
  stray: readonly ObjectId[],
  mends: boolean,
  isDoubtful: boolean,
): Finding[] {
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
