import { describe, expect, test } from '@jest/globals';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { makeToken } from '../support/softhsm.ts';
import { askVectors } from './ask-vectors.ts';
import { initialiseNewToken } from './new-token.ts';
import { expected, LIMIT_MS, type ModuleAtHand, tryModule } from './trial.ts';

/** SoftHSM2 as the machine has it, and one with ML-DSA, where SOFTHSM_MODULE names it: test/modules/README.md says how it is built. */
const PIN = 'the tests own this token';
const library = process.env['SOFTHSM_MODULE'];
const missing = library === undefined ? 'SOFTHSM_MODULE names no library' : undefined;

if (missing !== undefined) console.warn(`skipped: ${missing}`);

test(
  'softhsm does what the table says',
  async () => {
    expect(await tryModule('softhsm', () => makeToken())).toEqual(expected('softhsm'));
  },
  LIMIT_MS,
);

(missing === undefined ? describe : describe.skip)('SoftHSM with ML-DSA', () => {
  test(
    'does what the table says',
    async () => {
      expect(await tryModule('softhsm-ml-dsa', prepare)).toEqual(expected('softhsm-ml-dsa'));
    },
    LIMIT_MS,
  );

  test(
    "gives Wycheproof's results for ML-DSA",
    async () => {
      const told = await askVectors(prepare);
      console.info(told);
      const wrong = Object.entries(told).flatMap(([file, { disagreements }]) =>
        disagreements.map((one) => `${file}: ${one}`),
      );
      expect(wrong).toEqual([]);
      expect(Object.keys(told)).toHaveLength(4);
    },
    LIMIT_MS,
  );
});

async function prepare(): Promise<ModuleAtHand> {
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const configuration = join(folder, 'softhsm2.conf');
  await writeFile(configuration, `directories.tokendir = ${folder}\nobjectstore.backend = file\n`);
  const environment = { PKCS11_MODULE: library ?? '', SOFTHSM2_CONF: configuration };
  await initialiseNewToken(environment, 'own', PIN);
  return {
    environment: { ...environment, PKCS11_TOKEN_LABEL: 'own', PKCS11_PIN: PIN },
    remove: () => rm(folder, { recursive: true, force: true }),
  };
}
