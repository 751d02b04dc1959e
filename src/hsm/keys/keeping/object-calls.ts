import type { HsmObjects } from '../../../core/keys/objects/ports.ts';
import type { KeyCalls } from '../../key-calls.ts';
import { objectStatementBytes } from '../seal.ts';
import type { Roots } from '../../module/open-module.ts';

/** The pool's own token objects, which a resident pool's keys are. */
export function createObjectCalls(calls: KeyCalls, roots: () => Roots | undefined): HsmObjects {
  function poolId(): string {
    const known = roots();
    if (known === undefined) throw new TypeError('objects have a pool');
    return known.poolId;
  }

  return {
    destroyObjects: (objects) =>
      calls.attempt((on) => on.dispatcher.run('destroyObjects', [poolId(), objects]), true),
    listObjects: () => calls.attempt((on) => on.dispatcher.run('listObjects', [poolId()]), true),
    proveObject: (statement) =>
      calls.attempt((on) => on.mac(objectStatementBytes(poolId(), statement)), true),
    countObjects: () => calls.attempt((on) => on.dispatcher.run('countObjects', [poolId()]), true),
  };
}
