import * as calls from '../../module/calls.ts';
import { unwrapBlob, unwrapSealed, wrapForSealing } from '../sealed-blob.ts';
import type { KeyKeeping, KeyMaking } from './key-keeping.ts';

/** A session object that is extractable only between its making and its wrapping, and exists no longer. */
const MAKING: KeyMaking = {
  attributes: () => ({ token: false, extractable: true }),
  trial: { token: false, extractable: true },
  withNew: calls.withObject,
  stored: wrapForSealing,
  storedAfterTrial: wrapForSealing,
};

/** Keys are wrapped by `root-wrap`, and session objects while they are used. */
export const sealed: KeyKeeping = {
  making: () => MAKING,
  load: (context, blob, template, more = []) =>
    unwrapSealed(context, blob, [...calls.toAttributes(template), ...more]),
  destroysLoaded: true,
};

/** What the module answers is told as it is. */
export const sealedForTrial: KeyKeeping = {
  ...sealed,
  load: (context, blob, template, more = []) =>
    unwrapBlob(context, blob, [...calls.toAttributes(template), ...more]),
};
