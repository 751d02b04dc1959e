import { randomUUID } from 'node:crypto';
import { beforeEach, describe, expect, test } from '@jest/globals';
import { exportJWK, generateKeyPair, SignJWT } from 'jose';
import type { DirectoryPrincipal } from '../../../src/core/directory/directory.ts';
import { createAudienceCheck } from '../../../src/identity/tokens/audiences.ts';
import { createAuthenticator } from '../../../src/identity/tokens/authenticate.ts';
import { deriveObjectId } from '../../../src/identity/issuers/external-issuer.ts';
import { createIssuerKeys } from '../../../src/identity/issuers/issuer-keys.ts';
import { parseIssuers } from '../../../src/identity/issuers/issuers-file.ts';
import { FakeChangeFeed } from '../../support/fakes/change-feed.ts';
import { FakeClock } from '../../support/fakes/clock.ts';

const TENANT = '7a3b9c1e-0f1d-4a57-9d3c-0d2f6b8e4a11';
const V1 = `https://sts.windows.net/${TENANT}/`;
const V2 = `https://login.microsoftonline.com/${TENANT}/v2.0`;
const KEYCLOAK = 'https://id.example/realms/acme';
const CLUSTER = 'https://kubernetes.default.svc.cluster.local';
const OWN = 'https://strongroom.test/directory/v2.0';
const AUDIENCE = 'https://managedhsm.azure.net';
const KEYS = {
  [V1]: 'https://login.microsoftonline.com/common/discovery/keys',
  [V2]: `https://login.microsoftonline.com/${TENANT}/discovery/v2.0/keys`,
  [KEYCLOAK]: `${KEYCLOAK}/protocol/openid-connect/certs`,
  [CLUSTER]: `${CLUSTER}/openid/v1/jwks`,
};
/** An Entra ID object of each kind. */
const [OID, GROUP, APP] = [randomUUID(), randomUUID(), randomUUID()];

const entra = { tenantId: TENANT, tenantClaim: 'tid', objectIds: 'claim', principalClaim: 'oid' };
const ISSUERS = parseIssuers(
  JSON.stringify({
    issuers: [
      {
        ...entra,
        issuer: V1,
        audiences: [AUDIENCE, `${AUDIENCE}/`],
        applicationClaim: 'appid',
        groupsClaim: 'groups',
      },
      { ...entra, issuer: V2, audiences: [APP], groupsClaim: 'groups' },
      {
        issuer: KEYCLOAK,
        audiences: ['strongroom'],
        displayNameClaim: 'preferred_username',
        groupsClaim: ['realm_access', 'roles'],
      },
      {
        issuer: CLUSTER,
        audiences: ['https://strongroom.test'],
        displayNameClaim: ['kubernetes.io', 'serviceaccount', 'name'],
        jwksUri: `${CLUSTER}/openid/v1/jwks`,
      },
      // Nobody may speak for the directory, whatever the file says.
      { issuer: OWN, audiences: [AUDIENCE] },
    ],
  }),
);

const pair = await generateKeyPair('RS256');
const jwk = { ...(await exportJWK(pair.publicKey)), kid: 'k1', use: 'sig' };
/** In Entra ID's sets there is one for each certificate, without an `alg`. */
const other = { ...(await exportJWK((await generateKeyPair('RS256')).publicKey)), kid: 'k2' };
const ec = await generateKeyPair('ES256');
const ecJwk = await exportJWK(ec.publicKey);

let clock: FakeClock;
let feed: FakeChangeFeed;
/** Objects of the directory itself. */
let ownIds: string[];
/** A user of the directory, by issuer and subject. */
let linked: { issuer: string; subject: string; user: DirectoryPrincipal } | undefined;
let lookedUp: number;
let authenticate: ReturnType<typeof createAuthenticator>;
/** What an issuer's `jwks_uri` answers, by its URL. */
let documents: Map<string, unknown>;

beforeEach(() => {
  clock = new FakeClock('2026-05-01T12:00:00Z');
  feed = new FakeChangeFeed();
  ownIds = [];
  linked = undefined;
  lookedUp = 0;
  documents = new Map<string, unknown>(
    Object.entries(KEYS).flatMap(([issuer, uri]) => [
      [
        `${issuer.replace(/\/$/, '')}/.well-known/openid-configuration`,
        { issuer, jwks_uri: uri, token_endpoint: 'https://elsewhere.example' },
      ],
      [uri, { keys: [other, jwk] }],
    ]),
  );
  documents.delete(`${CLUSTER}/.well-known/openid-configuration`);
  authenticate = createAuthenticator({
    issuer: OWN,
    tenantId: randomUUID(),
    keySet: () => Promise.resolve({ keys: [] }),
    isAudience: createAudienceCheck('strongroom.test'),
    principals: {
      findPrincipal: (by) => {
        lookedUp += 1;
        const isLinked =
          'issuer' in by && by.issuer === linked?.issuer && by.subject === linked.subject;
        return Promise.resolve(isLinked ? linked?.user : undefined);
      },
      findOwnIds: (ids) => Promise.resolve(ids.filter((id) => ownIds.includes(id))),
    },
    feed,
    clock,
    remembered: 10,
    external: {
      issuers: ISSUERS,
      issuerKeys: createIssuerKeys({
        fetchJson: (url) =>
          documents.has(url)
            ? Promise.resolve(documents.get(url))
            : Promise.reject(new Error(`nothing at ${url}`)),
        steadyMs: () => performance.now(),
        delay: () => Promise.resolve(),
        onError: () => undefined,
      }),
    },
  });
});

const sign = (claims: Readonly<Record<string, unknown>>) =>
  new SignJWT({ iat: clock.seconds, nbf: clock.seconds, exp: clock.seconds + 3600, ...claims })
    .setProtectedHeader({ alg: 'RS256', kid: 'k1', typ: 'JWT', x5t: 'k1' })
    .sign(pair.privateKey);
const enter = async (claims: Readonly<Record<string, unknown>>) =>
  authenticate(`Bearer ${await sign(claims)}`, { audience: 'pool', thumbprint: () => undefined });
const refusal = (message: RegExp) => ({
  name: 'ServiceError',
  code: 'Unauthenticated',
  message: expect.stringMatching(message),
});

/** As Entra ID's documentation shows them. */
const v1 = {
  aud: AUDIENCE,
  iss: V1,
  aio: 'E2RgYNjz',
  appid: APP,
  appidacr: '1',
  idp: V1,
  oid: OID.toUpperCase(),
  sub: OID,
  tid: TENANT,
  uti: 'x',
  ver: '1.0',
};
const v2 = {
  aud: APP,
  iss: V2,
  azp: APP,
  azpacr: '0',
  name: 'Somebody',
  oid: OID,
  scp: 'user_impersonation',
  sub: 'pairwise',
  tid: TENANT,
  ver: '2.0',
  groups: [GROUP],
};

describe('a token of Entra ID', () => {
  test('of version 1 names an application by its own object id', async () => {
    await expect(enter(v1)).resolves.toEqual({
      tenantId: TENANT,
      objectId: OID,
      applicationId: APP,
      groups: [],
      hasUnknownGroups: true,
    });
  });

  test.each([
    ['no groups claim', undefined, {}, true],
    ['an empty list of groups', [], {}, false],
    ['a list of groups', [GROUP], {}, false],
    ['a group that is no list', GROUP, {}, true],
    ['null', null, {}, true],
    ['names in place of ids', [GROUP, 'CORP\\engineers'], {}, true],
    ['more groups than are taken', Array.from({ length: 201 }, () => randomUUID()), {}, true],
    ['groups that are found elsewhere', undefined, { _claim_names: { groups: 'src1' } }, true],
    ['some groups, others elsewhere', [GROUP], { _claim_names: { groups: 'src1' } }, true],
    ['another claim that is found elsewhere', [GROUP], { _claim_names: { roles: 's' } }, false],
  ])('with %s tells whether it names all of them', async (_, groups, more, isUnknown) => {
    const { hasUnknownGroups = false } = await enter({ ...v2, groups, ...more });
    expect(hasUnknownGroups).toBe(isUnknown);
  });

  test('of version 2 names a user and its groups by their own object ids', async () => {
    await expect(enter(v2)).resolves.toEqual({
      tenantId: TENANT,
      objectId: OID,
      applicationId: APP,
      displayName: 'Somebody',
      groups: [GROUP],
    });
  });

  test.each<[string, object, RegExp]>([
    ['of another tenant', { ...v1, tid: randomUUID() }, /another tenant/],
    ['of version 1 that calls itself one of version 2', { ...v1, iss: V2 }, /another resource/],
    [
      'of a tenant that is not listed',
      { ...v2, iss: V2.replace(TENANT, randomUUID()) },
      /issuer .* not known/,
    ],
    ['of version 1 without the slash', { ...v1, iss: V1.slice(0, -1) }, /issuer .* not known/],
    ['whose oid is no GUID', { ...v1, oid: 'somebody' }, /no GUID/],
    ['without an oid', { ...v1, oid: undefined }, /lacks the claim/],
  ])('%s is refused', async (_what, claims, message) => {
    await expect(enter({ ...claims })).rejects.toMatchObject(refusal(message));
  });

  test.each<[string, object]>([
    ['in the name of its holder', { name: 'x\ud800' }],
    ['in its subject', { sub: 'a\u0000b' }],
    ['in a group', { groups: [GROUP, '\udc00'] }],
    ['in a claim that nobody reads', { other: { deep: [{ '\u0000': 1 }] } }],
    ['where a text belongs: a number as its issuer', { iss: 5 }],
    ['where a text belongs: a list as its subject', { sub: ['x'] }],
  ])('with what cannot be stored %s is refused', async (_what, claims) => {
    await expect(enter({ ...v2, ...claims })).rejects.toMatchObject(refusal(/not valid/));
  });

  test('whose groups are too many for it, or are no object ids, has none', async () => {
    const names = { _claim_names: { groups: 'src1' } };
    await expect(enter({ ...v2, groups: undefined, ...names })).resolves.toMatchObject({
      groups: [],
    });
    await expect(enter({ ...v2, groups: ['Domain Users', GROUP] })).resolves.toMatchObject({
      groups: [GROUP],
    });
    await expect(enter({ ...v2, groups: GROUP })).resolves.toMatchObject({ groups: [] });
  });

  test.each([
    ['a principal', () => OID],
    ['a group', () => GROUP],
  ])("that names %s of the directory's own is refused", async (_what, id) => {
    ownIds = [id()];
    await expect(enter(v2)).rejects.toMatchObject(refusal(/built-in directory/));
  });
});

describe('a token and the keys that its issuer publishes', () => {
  const claims = { aud: 'strongroom', iss: KEYCLOAK, sub: 'somebody' };
  const weak = {
    kty: 'RSA',
    n: Buffer.alloc(128, 0xc1).toString('base64url'),
    e: 'AQAB',
    kid: 'weak',
  };
  const UNUSABLE = [
    weak,
    { ...ecJwk, y: ecJwk.x, kid: 'off the curve' },
    { kty: 'oct', k: 'c2VjcmV0', kid: 'a secret' },
    { kty: 'unheard of', kid: 'a type' },
    { kty: 'RSA', kid: 'no members' },
    { ...jwk, d: 'AQAB', kid: 'private' },
    { ...jwk, use: 'enc', kid: 'for encryption' },
  ];
  const bearer = async (header: { kid?: string; alg?: string }, key = pair.privateKey) => {
    const token = await new SignJWT({ ...claims, exp: clock.seconds + 60 })
      .setProtectedHeader({ alg: 'RS256', ...header })
      .sign(key);
    return authenticate(`Bearer ${token}`, { audience: 'pool', thumbprint: () => undefined });
  };
  const publish = (...keys: unknown[]) => documents.set(KEYS[KEYCLOAK], { keys });

  test.each(UNUSABLE)(
    'that names one that is of no use ($kid) is refused, and says so',
    async (bad) => {
      publish(bad, jwk);
      const alg = bad.kty === 'EC' ? 'ES256' : 'RS256';
      const key = bad.kty === 'EC' ? ec.privateKey : pair.privateKey;
      await expect(bearer({ kid: bad.kid, alg }, key)).rejects.toMatchObject(
        refusal(/^The issuer's key that the token names cannot be used: .*\.$/),
      );
    },
  );

  test('that names another one is taken, whatever stands beside that', async () => {
    publish(...UNUSABLE, null, 7, jwk);
    await expect(bearer({ kid: 'k1' })).resolves.toBeDefined();
  });

  test.each([
    ['one key', () => [jwk]],
    ['one key without a name', () => [{ ...jwk, kid: undefined }]],
    ['one of its algorithm', () => [{ ...other, alg: 'RS512' }, { ...ecJwk, kid: 'e' }, jwk]],
    ['one of any use', () => [weak, { ...other, use: 'enc' }, jwk]],
    ['one, twice', () => [jwk, { ...jwk }]],
  ])('that names none is taken where there is %s', async (_what, keys) => {
    publish(...keys());
    await expect(bearer({})).resolves.toBeDefined();
  });

  test('that names none is refused where several could be meant', async () => {
    publish(jwk, other);
    await expect(bearer({})).rejects.toMatchObject(refusal(/does not say which key/));
  });

  test('that names one is taken where the issuer names none', async () => {
    publish({ ...jwk, kid: undefined });
    await expect(bearer({ kid: 'k1' })).resolves.toBeDefined();
  });

  test('that names one of two with that name is refused, and by its algorithm found', async () => {
    publish(jwk, { ...other, kid: 'k1' });
    await expect(bearer({ kid: 'k1' })).rejects.toMatchObject(refusal(/does not say which key/));
    documents.set(KEYS[CLUSTER], { keys: [jwk, { ...ecJwk, kid: 'k1' }] });
    const token = await sign({ iss: CLUSTER, aud: 'https://strongroom.test', sub: 'x' });
    await expect(
      authenticate(`Bearer ${token}`, { audience: 'pool', thumbprint: () => undefined }),
    ).resolves.toBeDefined();
  });
});

describe('a token of an issuer whose object ids are derived', () => {
  const keycloak = {
    aud: ['account', 'strongroom'],
    iss: KEYCLOAK,
    sub: 'f:1:somebody',
    azp: 'shop',
    preferred_username: 'somebody',
    realm_access: { roles: ['keepers', 7, ''] },
  };

  test('names a principal and groups that are of this issuer alone', async () => {
    await expect(enter(keycloak)).resolves.toEqual({
      tenantId: deriveObjectId(KEYCLOAK, 'principal', ''),
      objectId: deriveObjectId(KEYCLOAK, 'principal', 'f:1:somebody'),
      applicationId: 'shop',
      displayName: 'somebody',
      groups: [deriveObjectId(KEYCLOAK, 'group', 'keepers')],
    });
    expect(deriveObjectId(CLUSTER, 'group', 'keepers')).not.toBe(
      deriveObjectId(KEYCLOAK, 'group', 'keepers'),
    );
    expect(deriveObjectId(KEYCLOAK, 'principal', 'keepers')).not.toBe(
      deriveObjectId(KEYCLOAK, 'group', 'keepers'),
    );
  });

  test('names what role assignments name for ever: the derivation does not change', () => {
    expect(deriveObjectId('https://id.example', 'principal', 'somebody')).toBe(
      'a011aa19-828e-894c-a276-0dccf451136a',
    );
    expect(deriveObjectId('https://id.example', 'group', 'somebody')).toBe(
      'cf1abb00-555a-8a3d-b944-3cdb01b9fab6',
    );
  });

  test("of a cluster's service account needs no discovery document where the file says where keys are", async () => {
    const sub = 'system:serviceaccount:shop:checkout';
    const serviceaccount = { name: 'checkout', uid: randomUUID() };
    const claims = {
      aud: ['https://strongroom.test'],
      iss: CLUSTER,
      sub,
      'kubernetes.io': { namespace: 'shop', serviceaccount },
    };
    await expect(enter(claims)).resolves.toMatchObject({
      objectId: deriveObjectId(CLUSTER, 'principal', sub),
      displayName: 'checkout',
      groups: [],
    });
  });

  test('never brings more than 200 groups', async () => {
    const roles = Array.from({ length: 500 }, (_, n) => `group ${n}`);
    const { groups } = await enter({ ...keycloak, realm_access: { roles } });
    expect(groups).toHaveLength(200);
  });

  test('under the name of the directory is checked by its keys alone', async () => {
    await expect(enter({ iss: OWN, aud: AUDIENCE, sub: 'x' })).rejects.toMatchObject(
      refusal(/key that its issuer does not have/),
    );
  });

  describe('that is an identity of a user of the directory', () => {
    const user = { id: randomUUID(), displayName: 'Somebody', enabled: true, groups: [GROUP] };
    beforeEach(() => {
      linked = { issuer: KEYCLOAK, subject: keycloak.sub, user };
    });

    test('is that user, with the groups of both', async () => {
      await expect(enter(keycloak)).resolves.toMatchObject({
        objectId: user.id,
        // What was granted to it before it was a user is its own still.
        alsoKnownAs: [deriveObjectId(KEYCLOAK, 'principal', keycloak.sub)],
        displayName: 'Somebody',
        groups: [deriveObjectId(KEYCLOAK, 'group', 'keepers'), GROUP],
      });
    });

    test('is refused as soon as the feed tells that the user is disabled', async () => {
      await enter(keycloak);
      await enter(keycloak);
      expect(lookedUp).toBe(1);
      linked = { issuer: KEYCLOAK, subject: keycloak.sub, user: { ...user, enabled: false } };
      feed.publish({ topic: 'directory', id: user.id });
      await expect(enter(keycloak)).rejects.toMatchObject(refusal(/disabled/));
    });

    test('is not what another issuer may say', async () => {
      const { objectId } = await enter({
        iss: CLUSTER,
        aud: 'https://strongroom.test',
        sub: keycloak.sub,
      });
      expect(objectId).toBe(deriveObjectId(CLUSTER, 'principal', keycloak.sub));
    });
  });
});
