import { describe, expect, test } from '@jest/globals';
import { buildModuleShim, hasCompiler, shimProfiles } from '../support/module-shim.ts';
import { makeToken } from '../support/softhsm.ts';
import { EXPECTED, type ModuleName } from './expectations.ts';
import { settingsFor } from './shim-settings.ts';
import { expected, LIMIT_MS, tryModule } from './trial.ts';

/** The service on each profile of test/shim, on a token of its own. */
const PROFILES = (await shimProfiles()) as readonly ModuleName[];
const canBuild = await hasCompiler();
if (!canBuild) console.warn('skipped: no C compiler (cc)');

(canBuild ? describe : describe.skip)('the shim', () => {
  test.each(PROFILES)(
    '%s does what the table says',
    async (profile) => {
      const found = await tryModule(profile, async () => {
        const token = await makeToken();
        const shim = await buildModuleShim({ profile });
        return {
          environment: { ...token.environment, ...shim.environment, ...settingsFor(profile) },
          async remove() {
            await shim.remove();
            await token.remove();
          },
        };
      });
      expect(found).toEqual(expected(profile));
    },
    LIMIT_MS,
  );
});

test('each profile stands in the table', () => {
  expect(Object.keys(EXPECTED)).toEqual(expect.arrayContaining([...PROFILES]));
});
