import { randomUUID } from 'node:crypto';
import { beforeAll, expect, test } from '@jest/globals';
import { generateKeyPair, SignJWT } from 'jose';
import { createAssertionCheck } from '../../../src/identity/clients/client-assertion.ts';

const NOW = new Date('2026-01-01T00:00:00Z');
const application = {
  id: randomUUID(),
  appId: randomUUID(),
  displayName: 'workload',
  createdAt: NOW,
};
const credential = {
  id: randomUUID(),
  name: 'cluster',
  issuer: 'https://issuer.example',
  subject: 'system:serviceaccount:shop:web',
  audience: 'api://AzureADTokenExchange',
};
let keys: Awaited<ReturnType<typeof generateKeyPair>>;
beforeAll(async () => {
  keys = await generateKeyPair('ES256');
});

const issue = (subject: string) =>
  new SignJWT({})
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(credential.issuer)
    .setAudience(credential.audience)
    .setSubject(subject)
    .setExpirationTime(NOW.getTime() / 1000 + 600)
    .sign(keys.privateKey);

/** @param failures how many notes fail before one succeeds */
function makeCheck(failures = 0) {
  const noted: string[] = [];
  const verify = createAssertionCheck({
    credentials: {
      listCertificates: () => Promise.resolve([]),
      listFederated: () => Promise.resolve([credential]),
      noteFederatedUse: (applicationId, id) => {
        noted.push(`${applicationId} ${id}`);
        return noted.length > failures ? Promise.resolve() : Promise.reject(new Error('away'));
      },
    },
    issuerKeys: () => Promise.resolve(() => Promise.resolve(keys.publicKey)),
    federatedIssuers: { placeOf: (issuer) => ({ issuer }) },
    isOwnUrl: () => false,
    clock: { now: () => NOW },
  });
  return { noted, verify };
}

test('the first use of a federated credential is noted, and noted once', async () => {
  const { noted, verify } = makeCheck();
  await verify(application, await issue(credential.subject));
  await verify(application, await issue(credential.subject));
  expect(noted).toEqual([`${application.id} ${credential.id}`]);
});

test('a use that could not be noted is noted by the next sign-in', async () => {
  const { noted, verify } = makeCheck(1);
  await expect(verify(application, await issue(credential.subject))).rejects.toThrow('away');
  await expect(verify(application, await issue(credential.subject))).resolves.toBe('federated');
  expect(noted).toHaveLength(2);
});

test('an assertion that is refused is no use', async () => {
  const { noted, verify } = makeCheck();
  const { privateKey } = await generateKeyPair('ES256');
  const forged = await new SignJWT({})
    .setProtectedHeader({ alg: 'ES256' })
    .setIssuer(credential.issuer)
    .setAudience(credential.audience)
    .setSubject(credential.subject)
    .setExpirationTime(NOW.getTime() / 1000 + 600)
    .sign(privateKey);
  for (const assertion of [forged, await issue('somebody else')])
    await expect(verify(application, assertion)).rejects.toMatchObject({ status: 401 });
  expect(noted).toEqual([]);
});
