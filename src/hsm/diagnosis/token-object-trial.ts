import { randomBytes } from 'node:crypto';
import { type Finding, fault, ok } from '../../core/diagnosis/finding.ts';
import type { KeyKeeping } from '../../core/keys/key-keeping.ts';
import { answerIn } from '../capabilities/lack.ts';
import { ROOT_KEY_CLASS } from '../keys/root-key-templates.ts';
import { putMark } from '../keys/root-key-marks.ts';
import { createRootKeys, destroyRootKeys, findRootKeys } from '../keys/root-keys.ts';
import { destroyObject, findObjects, type ModuleSession, readBytes } from '../module/calls.ts';
import { giveUp } from '../module/library.ts';

/** CKA_ID of what is made here begins so, with the time: examinations at the same time leave each other alone. */
const TRIAL = 'examined';
const INTERRUPTED_MS = 10 * 60_000;
const MOST_OBJECTS = 100_000;
const SUBJECT = 'token objects';

/**
 * Whether the token takes what a pool keeps in it whatever its keys are: root keys, and marks of them. They are made as
 * for a pool, found again, and destroyed; so is what an examination has left that was killed here.
 * @param now in milliseconds
 */
export function examineTokenObjects(
  session: ModuleSession,
  keeping: KeyKeeping,
  now = Date.now(),
): Finding {
  const trial = `${TRIAL}-${now}-${randomBytes(4).toString('hex')}`;
  try {
    destroyInterrupted(session, now);
    createRootKeys(session, trial, 1, keeping);
    putMark(session, trial, 'root-used', 1);
    if (findRootKeys(session, trial, 1, keeping) === undefined)
      return fault(SUBJECT, 'Objects that are made in the token are not found in it again.');
    destroyRootKeys(session, trial, 1);
    return ok(SUBJECT, 'It takes root keys, finds them again and destroys them.');
  } catch (error) {
    // What was made is still to be destroyed, and why that may fail is said already.
    giveUp(() => {
      destroyRootKeys(session, trial, 1);
    });
    return fault(
      SUBJECT,
      `The token does not keep root keys, without which there is no pool: ${answerIn(error)}.`,
    );
  }
}

function destroyInterrupted(session: ModuleSession, now: number): void {
  for (const object of findObjects(session, ROOT_KEY_CLASS, MOST_OBJECTS)) {
    const [name, time] = readBytes(session, object, 'id').toString().split('-');
    if (name === TRIAL && Number(time) < now - INTERRUPTED_MS) destroyObject(session, object);
  }
}
