import { describe, test } from '@jest/globals';
import { KEEPING } from './keeping.ts';

/** What takes a key out of the HSM, or unwraps it with other rights, isn't tried where keys are resident. */
export const whereSealed =
  KEEPING === 'sealed' ? { describe, test } : { describe: describe.skip, test: test.skip };
