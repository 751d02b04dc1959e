import { openToken } from '../../src/hsm/module/token.ts';
import type { TokenOptions } from '../../src/hsm/module/token-options.ts';
import { answer } from './helper-process.ts';
import { openRawOperations, type RawName } from './raw-operations.ts';

/** A process that does nothing but one HSM operation after the other, through the same binding and library. */

let operations: ReturnType<typeof openRawOperations> | undefined;

answer({
  open(token: TokenOptions) {
    operations = openRawOperations(openToken(token).openSession());
  },

  /** How often in so many milliseconds, and the microseconds of CPU that it took. */
  run({ name, ms }: { name: RawName; ms: number }) {
    const operation = operations?.[name];
    if (operation === undefined) throw new Error(`there is no ${name}`);
    const before = process.cpuUsage();
    const started = performance.now();
    let done = 0;
    let elapsed = 0;
    while (elapsed < ms) {
      operation();
      done += 1;
      elapsed = performance.now() - started;
    }
    const { user, system } = process.cpuUsage(before);
    return { done, ms: elapsed, cpuUs: user + system };
  },
});
