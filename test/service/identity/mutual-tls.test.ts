import { beforeAll, describe, expect, test } from '@jest/globals';
import { once } from 'node:events';
import { text } from 'node:stream/consumers';
import { connect as connectTls } from 'node:tls';
import { decodeJwt } from 'jose';
import { type Caller, createCaller } from '../../support/client.ts';
import {
  type ClientCertificate,
  makeClientCertificate,
} from '../../support/client-certificates.ts';
import { assignRole, type Client, created, makeClient } from '../../support/directory.ts';
import { ROLE } from '../../support/roles.ts';
import { useSharedService } from '../../support/use-service.ts';

/** RFC 8705: a client certificate as the credential, and tokens that are good with it alone. */

const DAY_MS = 86_400_000;
type Connection = Caller & { close(): void };

const { service, admin, atEnd } = useSharedService();
let client: Client;
let registered: ClientCertificate;
let expired: ClientCertificate;
let stranger: ClientCertificate;

beforeAll(async () => {
  await created(admin('POST', '/keys/bound/create?api-version=7.4', { kty: 'oct-HSM' }));
  client = await makeClient(admin, 'workload');
  await assignRole(admin, ROLE.encryptionUser, client.principalId);
  const daysFromNow = (days: number) => new Date(Date.now() + days * DAY_MS);
  registered = await makeClientCertificate();
  expired = await makeClientCertificate(daysFromNow(-10), daysFromNow(-1));
  stranger = await makeClientCertificate();
  await created(
    admin('PATCH', `/v1.0/applications/${client.applicationId}`, {
      keyCredentials: [registered, expired].map(({ certificate }) => ({
        type: 'AsymmetricX509Cert',
        usage: 'Verify',
        key: Buffer.from(certificate).toString('base64'),
      })),
    }),
  );
});

function connect(identity?: ClientCertificate, token?: string): Connection {
  const tls = identity && { cert: identity.certificate, key: identity.privateKey };
  const connection = createCaller(service, token, tls);
  atEnd(connection);
  return connection;
}

function signIn(connection: Caller, fields: Readonly<Record<string, string>> = {}) {
  const form = new URLSearchParams({
    grant_type: 'client_credentials',
    client_id: client.appId,
    scope: 'https://strongroom.localhost/.default',
    ...fields,
  });
  return connection('POST', '/adfs/oauth2/v2.0/token', form.toString(), {
    'Content-Type': 'application/x-www-form-urlencoded',
  });
}

async function tokenFor(identity: ClientCertificate): Promise<string> {
  return (await created<{ access_token: string }>(signIn(connect(identity)))).access_token;
}

const wrap = (connection: Caller) =>
  connection('POST', '/keys/bound/wrapkey?api-version=7.4', {
    alg: 'A256KW',
    value: Buffer.alloc(32).toString('base64url'),
  });

describe('a client certificate', () => {
  test('that is registered signs its application in, without a secret', async () => {
    const token = await tokenFor(registered);
    expect(decodeJwt(token)).toMatchObject({
      oid: client.principalId,
      appidacr: '2',
      cnf: { 'x5t#S256': expect.stringMatching(/^[\w-]{43}$/) },
    });
    const bound = connect(registered, token);
    expect((await wrap(bound)).status).toBe(200);
    expect(
      (await bound('POST', '/keys/more-than-bound/create?api-version=7.4', { kty: 'oct-HSM' }))
        .status,
    ).toBe(403);
  });

  test.each([
    ['nobody has registered', () => stranger],
    ['is past its date', () => expired],
  ])('that %s does not', async (_what, identity) => {
    const answer = await signIn(connect(identity()));
    expect([answer.status, answer.json()]).toEqual([
      401,
      expect.objectContaining({ error: 'invalid_client', error_codes: [700027] }),
    ]);
  });

  test("does not sign in another application's client", async () => {
    const other = await makeClient(admin, 'other');
    expect((await signIn(connect(registered), { client_id: other.appId })).status).toBe(401);
  });

  test('is not asked for where there is another credential, nor makes up for a wrong one', async () => {
    expect((await signIn(connect(registered), { client_secret: 'srm_wrong' })).status).toBe(401);
    expect((await signIn(connect())).json()).toMatchObject({ error_codes: [7000218] });
  });

  test('that was taken from the directory signs nobody in any more', async () => {
    const leaver = await makeClient(admin, 'leaver');
    const path = `/v1.0/applications/${leaver.applicationId}`;
    const own = await makeClientCertificate();
    const key = Buffer.from(own.certificate).toString('base64');
    const keyCredentials = [{ type: 'AsymmetricX509Cert', usage: 'Verify', key }];
    await created(admin('PATCH', path, { keyCredentials }));
    const connection = connect(own);
    expect((await signIn(connection, { client_id: leaver.appId })).status).toBe(200);
    await created(admin('PATCH', path, { keyCredentials: [] }));
    expect((await signIn(connection, { client_id: leaver.appId })).status).toBe(401);
  });
});

describe('a token that is bound to a certificate', () => {
  test.each([
    ['without a certificate', () => undefined],
    ["with somebody else's", () => stranger],
  ])('is refused on a connection %s, with the challenge', async (_what, identity) => {
    const thief = connect(identity(), await tokenFor(registered));
    const { status, headers } = await wrap(thief);
    expect([status, headers['www-authenticate']]).toEqual([
      401,
      expect.stringMatching(/^Bearer authorization="https:/),
    ]);
    const { value } = await created<{ value: { requestId: string; reason?: string }[] }>(
      admin('GET', '/audit/events?operation=Authentication&outcome=failure&maxresults=1000'),
    );
    const record = value.find(({ requestId }) => requestId === headers['x-ms-request-id']);
    expect(record?.reason).toContain('bound to a certificate');
  });

  test('is good on a connection that resumes a TLS session, which shows no certificate anew', async () => {
    const token = await tokenFor(registered);
    const options = {
      host: 'localhost',
      port: service.port,
      ca: service.ca,
      cert: registered.certificate,
      key: registered.privateKey,
    };
    const first = connectTls(options);
    const [session] = (await once(first, 'session')) as [Buffer];
    first.destroy();
    const resumed = connectTls({ ...options, session });
    await once(resumed, 'secureConnect');
    const isResumed = resumed.isSessionReused();
    resumed.write(
      `GET /keys/bound?api-version=7.4 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${token}\r\nConnection: close\r\n\r\n`,
    );
    expect([await text(resumed), isResumed]).toEqual([
      expect.stringMatching(/^HTTP\/1.1 200 /),
      true,
    ]);
  });

  test('is good on any number of connections with it', async () => {
    const token = await tokenFor(registered);
    const statuses = await Promise.all(
      Array.from({ length: 8 }, async () => (await wrap(connect(registered, token))).status),
    );
    expect(new Set(statuses)).toEqual(new Set([200]));
  });
});
