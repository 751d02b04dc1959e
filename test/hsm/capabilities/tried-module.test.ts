import { afterEach, expect, test } from '@jest/globals';
import type { TriedModule } from '../../../src/hsm/capabilities/tried-module.ts';
import type { Pkcs11Hsm } from '../../../src/hsm/pkcs11-hsm.ts';
import { openTestHsm } from '../../support/hsm.ts';

const LACK = { mechanism: 'CKM_RSA_PKCS_KEY_PAIR_GEN', answer: 'CKR_FUNCTION_FAILED' };
let hsm: Pkcs11Hsm | undefined;
afterEach(async () => {
  await hsm?.close();
  hsm = undefined;
});

/** What SoftHSM would answer to nobody, by which it is seen who was believed. */
async function triedWithALack(): Promise<TriedModule> {
  const { hsm: first } = openTestHsm();
  const { what, capabilities } = first.tried;
  await first.close();
  // As it comes from another process.
  return JSON.parse(
    JSON.stringify({ what, capabilities: { ...capabilities, keyLacks: { 'RSA-HSM 2048': LACK } } }),
  ) as TriedModule;
}
const lackOfRsa = async (opened: Pkcs11Hsm) =>
  (await opened.offer()).keys.find((one) => one.keyType === 'RSA-HSM' && one.bits === 2048)?.lack;

test('what another opening of the same start has found out about the module and its token is not tried again', async () => {
  const tried = await triedWithALack();
  ({ hsm } = openTestHsm({ tried }));
  expect(await lackOfRsa(hsm)).toContain('CKM_RSA_PKCS_KEY_PAIR_GEN');
  expect(hsm.tried).toEqual(tried);
});

test.each([
  ['version', (what: string) => what.replace(/\d+\.\d+/, '99.0')],
  ['token', (what: string) => what.replace(/[0-9a-f]{16}/, '0123456789abcdef')],
  ['keeping of keys', (what: string) => what.replace(/sealed|resident/, 'otherwise')],
])('of another %s it is tried', async (_of, changed) => {
  const tried = await triedWithALack();
  expect(changed(tried.what)).not.toBe(tried.what);
  ({ hsm } = openTestHsm({ tried: { ...tried, what: changed(tried.what) } }));
  expect(await lackOfRsa(hsm)).toBeUndefined();
});
