import process from 'node:process';
import { serializeError } from '../module/serialization.ts';
import type { FromGenerator, ToGenerator } from './generator-protocol.ts';
import { generateKept, type GenerationContext } from './key-generation.ts';
import { makeAgain } from './keeping/made-again.ts';
import { destroyPoolObjects } from './keeping/pool-objects.ts';
import { findRootKeys } from './root-keys.ts';
import { openPatiently } from '../module/patience.ts';
import { openToken } from '../module/token.ts';

/**
 * A process that makes keys, one after the other, and wraps them by the root key of the token that it has opened for itself:
 * see key-generator.ts, which starts it, watches the time and ends it.
 */

let context: Pick<GenerationContext, 'session' | 'rootKeys'> | undefined;

function open({ open: options, roots }: Extract<ToGenerator, { readonly open: unknown }>): void {
  const token = openPatiently(() => openToken(options));
  const rootKeys = findRootKeys(token.loginSession, roots.poolId, roots.generation, roots.keeping);
  if (rootKeys === undefined) throw new Error('the token has no root keys of this pool');
  context = { session: token.loginSession, rootKeys };
}

function perform(message: ToGenerator): FromGenerator {
  try {
    if ('open' in message) {
      open(message);
      return 'open';
    }
    if (context === undefined) throw new Error('the token is not open');
    const { session } = context;
    const { identity, spec, capabilities, objects, isRepeated } = message;
    if (isRepeated && objects !== undefined)
      destroyPoolObjects(session, identity.pool, [objects.private, objects.mac]);
    const within = { ...context, capabilities };
    const make = () => generateKept(within, identity, spec, objects);
    return { made: makeAgain(session, identity.pool, objects, make) };
  } catch (error) {
    return { failed: serializeError(error) };
  }
}

process.on('message', (message: ToGenerator) => {
  process.send?.(perform(message));
});
// Whoever started it is gone. A key may be in the making, which an orderly end would wait for.
process.on('disconnect', () => process.kill(process.pid, 'SIGKILL'));
// A terminal's Ctrl-C reaches the whole group; the worker ends it in its own time.
process.on('SIGINT', () => undefined);
