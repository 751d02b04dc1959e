/** `@jest/globals` as suites import it: what suite-runner.mjs has been given for the suite that is loaded. */
export const { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } =
  globalThis[Symbol.for('globals of the suite')];
