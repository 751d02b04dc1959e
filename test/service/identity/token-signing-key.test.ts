import { randomBytes } from 'node:crypto';
import { beforeAll, describe, expect, test } from '@jest/globals';
import { decodeJwt, decodeProtectedHeader, type JSONWebKeySet, SignJWT } from 'jose';
import pg from 'pg';
import { createCaller, fetchToken } from '../../support/client.ts';
import { ownerUrl } from '../../support/cluster.ts';
import { created } from '../../support/directory.ts';
import { until } from '../../support/until.ts';
import { useService } from '../../support/use-service.ts';
import { rsaKeyPair } from '../../support/rsa-keys.ts';

/** The key that signs the directory's tokens, in a service of two processes. */

const TWO_MINUTES_MS = 120_000;

const { service, admin, atEnd } = useService();
let database: pg.Client;
beforeAll(async () => {
  await created(admin('POST', '/keys/shared/create?api-version=7.4', { kty: 'EC-HSM' }));
  database = new pg.Client({ connectionString: await ownerUrl(service.dataFolder) });
  await database.connect();
  atEnd(() => database.end());
}, 90_000);

const signIn = () => {
  const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } = service.client;
  return fetchToken(service, { clientId, clientSecret });
};
const publishedIds = async () => {
  const { keys } = (await admin('GET', '/adfs/discovery/v2.0/keys')).json<JSONWebKeySet>();
  return keys.map(({ kid }) => kid);
};
/** Statuses over several new connections, which reach every process. */
async function everywhere(token: string): Promise<readonly number[]> {
  const statuses: number[] = [];
  for (let count = 0; count < 8; count += 1) {
    const call = createCaller(service, token);
    statuses.push((await call('GET', '/keys/shared?api-version=7.4')).status);
    call.close();
  }
  return [...new Set(statuses)];
}
describe('the key that signs tokens', () => {
  test('gets a successor when it is old: published first, signing later, the old tokens good all the while', async () => {
    const before = await signIn();
    const first = decodeProtectedHeader(before).kid;
    expect(await publishedIds()).toEqual([first]);

    await database.query(`update signing_key set created_at = now() - interval '31 days'`);
    await until(async () => {
      const { rowCount } = await database.query('select from signing_key');
      return rowCount === 2;
    }, TWO_MINUTES_MS);
    await until(async () => (await publishedIds()).length === 2, TWO_MINUTES_MS);
    const [second] = await publishedIds();
    expect(await publishedIds()).toEqual([second, first]);
    expect(decodeProtectedHeader(await signIn()).kid).toBe(first);

    await database.query(`update signing_key set created_at = created_at - interval '11 minutes'`);
    await until(async () => decodeProtectedHeader(await signIn()).kid === second, TWO_MINUTES_MS);
    const after = await signIn();
    expect([await everywhere(before), await everywhere(after)]).toEqual([[200], [200]]);

    const { value } = await created<{ value: object[] }>(
      admin('GET', '/audit/events?operation=SigningKeyRotateScheduled'),
    );
    expect(value).toEqual([
      expect.objectContaining({ change: { before: { keyId: first }, after: { keyId: second } } }),
    ]);
  }, 300_000);

  test('cannot be planted in the database', async () => {
    const statuses: number[] = [];
    const genuine = await signIn();
    const { publicKey, privateKey } = rsaKeyPair(2048);
    const { n = '' } = publicKey.export({ format: 'jwk' });
    const planted = randomBytes(16).toString('hex');
    await database.query(
      `insert into signing_key (pool_id, version, name, bits, public_exponent, operations, public_1, public_2,
         root_generation, blob, seal, created_at)
       select pool_id, $1, name, bits, public_exponent, operations, $2, public_2, root_generation, blob, seal,
         now() - interval '1 day' from signing_key limit 1`,
      [planted, Buffer.from(n, 'base64url')],
    );
    const forged = await new SignJWT(decodeJwt(genuine))
      .setProtectedHeader({ ...decodeProtectedHeader(genuine), alg: 'RS256', kid: planted })
      .sign(privateKey);
    // It is refused before a process has read it, and when one has.
    const hasReadIt = () =>
      service.output().includes('the seal of a signing key of the directory does not verify');
    await until(async () => {
      const known = hasReadIt();
      statuses.push(...(await everywhere(forged)));
      return known;
    });
    expect(new Set(statuses)).toEqual(new Set([401]));
    expect(await everywhere(genuine)).toEqual([200]);
  });
});
