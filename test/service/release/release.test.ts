import {
  constants,
  createDecipheriv,
  createHash,
  createPrivateKey,
  createPublicKey,
  privateDecrypt,
  sign as signWithNode,
  X509Certificate,
} from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from '@jest/globals';
import { ClientSecretCredential } from '@azure/identity';
import { KeyClient } from '@azure/keyvault-keys';
import { compactVerify, decodeProtectedHeader } from 'jose';
import pg from 'pg';
import {
  type AttestationAuthority,
  type Environment,
  makeEnvironment,
  startAttestationAuthority,
} from '../../support/attestation-authority.ts';
import { type Caller, createCaller, fetchToken } from '../../support/client.ts';
import { ownerUrl } from '../../support/cluster.ts';
import { outsideEc } from '../../support/plain-keys.ts';
import { makePreparedFolder } from '../../support/prepared-folder.ts';
import { removeDataFolder, type RunningService, startService } from '../../support/service.ts';

interface Policy {
  readonly contentType: string;
  readonly data: string;
  readonly immutable: boolean;
}
interface Bundle {
  readonly key: Readonly<Record<string, string>>;
  readonly attributes: Readonly<Record<string, unknown>> & {
    readonly attestation?: Readonly<Record<string, string>>;
  };
  readonly release_policy?: Policy;
}
interface Problem {
  readonly error: {
    readonly code: string;
    readonly message: string;
    readonly innererror?: { code: string };
  };
}
interface ReleasePayload {
  readonly request: Readonly<Record<string, string>>;
  readonly response: { readonly key: Bundle };
}

let folder: string;
let service: RunningService;
let authority: AttestationAuthority;
let environment: Environment;
let token: string;
let call: Caller & { close(): void };
beforeAll(async () => {
  authority = await startAttestationAuthority();
  environment = makeEnvironment();
  folder = await makePreparedFolder();
  await writeFile(join(folder, 'attestation-ca.pem'), authority.ca);
  service = await start();
  token = await fetchToken(service, {
    clientId: service.client['AZURE_CLIENT_ID'] ?? '',
    clientSecret: service.client['AZURE_CLIENT_SECRET'] ?? '',
  });
  call = createCaller(service, token);
}, 90_000);
afterAll(async () => {
  call.close();
  await service.stop();
  await removeDataFolder(folder);
  await authority.close();
});

function start(
  authorities = `https://elsewhere.example, ${authority.url}/`,
): Promise<RunningService> {
  return startService(folder, {
    STRONGROOM_ATTESTATION_AUTHORITIES: authorities,
    STRONGROOM_ATTESTATION_CA_FILE: join(folder, 'attestation-ca.pem'),
    STRONGROOM_WORKERS: '1',
  });
}

const encode = (value: unknown) => Buffer.from(JSON.stringify(value)).toString('base64url');
const decode = <Shape>(text: string) =>
  JSON.parse(Buffer.from(text, 'base64url').toString()) as Shape;

function policy(condition: object = { allOf: [{ claim: 'tee', equals: 'true' }] }, rest = {}) {
  const data = encode({ version: '1.0', anyOf: [{ authority: authority.url, ...condition }] });
  return { data, ...rest };
}

async function makeExportable(name: string, body: object = {}): Promise<Bundle> {
  const answer = await call('POST', `/keys/${name}/create?api-version=7.4`, {
    kty: 'EC-HSM',
    attributes: { exportable: true },
    release_policy: policy(),
    ...body,
  });
  expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
  return answer.json<Bundle>();
}

function attest(claims: Readonly<Record<string, unknown>> = {}): Promise<string> {
  return authority.attest({ tee: true, 'x-ms-runtime': environment.runtime, ...claims });
}

async function expectRefusal(
  answer: ReturnType<Caller>,
  status: number,
  code: string,
  inner?: string,
): Promise<string> {
  const received = await answer;
  const { error } = received.json<Problem>();
  expect([received.status, error.code, error.innererror?.code]).toEqual([status, code, inner]);
  return error.message;
}

/** What the environment does with an answer: everything by node:crypto and jose, nothing of ours. */
async function open(value: string, oaepHash = 'sha1') {
  const { x5c = [], 'x5t#S256': thumbprint } = decodeProtectedHeader(value) as {
    x5c?: string[];
    'x5t#S256'?: string;
  };
  const chain = x5c.map((certificate) => new X509Certificate(Buffer.from(certificate, 'base64')));
  const [leaf, root] = chain;
  if (leaf === undefined || root === undefined) throw new Error('no chain');
  expect(thumbprint).toBe(createHash('sha256').update(leaf.raw).digest('base64url'));
  const verified = await compactVerify(value, leaf.publicKey, { algorithms: ['RS256'] });
  const payload = JSON.parse(Buffer.from(verified.payload).toString()) as ReleasePayload;
  const blob = decode<{ ciphertext: string; header: object; schema_version: string }>(
    payload.response.key.key['key_hsm'] ?? '',
  );
  const ciphertext = Buffer.from(blob.ciphertext, 'base64url');
  const transport = privateDecrypt(
    { key: environment.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash },
    ciphertext.subarray(0, 256),
  );
  const decipher = createDecipheriv(
    'id-aes256-wrap-pad',
    transport,
    Buffer.from('a65959a6', 'hex'),
  );
  const released = Buffer.concat([decipher.update(ciphertext.subarray(256)), decipher.final()]);
  return { payload, blob, released, chain: [leaf, root] as const };
}

describe('a key with a release policy', () => {
  test('is returned with it, in the spelling of version 1.0.0', async () => {
    const { attributes, release_policy: made } = await makeExportable('policy');
    expect(attributes['exportable']).toBe(true);
    expect(made).toMatchObject({
      contentType: 'application/json; charset=utf-8',
      immutable: false,
    });
    expect(Buffer.from(made?.data ?? '', 'base64url').toString()).toBe(
      `{"anyOf":[{"allOf":[{"claim":"tee","equals":"true"}],"authority":"${authority.url}"}],"version":"1.0.0"}`,
    );
    const read = await call('GET', '/keys/policy');
    expect(read.json<Bundle>().release_policy).toEqual(made);
  });

  test.each<[string, object, string]>([
    ['none', { attributes: { exportable: true } }, 'Exportable keys must have release policy'],
    [
      'one, but is not exportable',
      { release_policy: { data: encode({}) } },
      'Only exportable keys can have a release policy',
    ],
    [
      'one without a version',
      { attributes: { exportable: true }, release_policy: { data: encode({ anyOf: [] }) } },
      "Key Release Policy: missing 'version' property",
    ],
    [
      'one that is no JSON',
      { attributes: { exportable: true }, release_policy: { data: 'AAAA' } },
      'Key Release Policy: the policy is not JSON in UTF-8',
    ],
  ])('is not made where it has %s', async (_what, body, message) => {
    const answer = call('POST', '/keys/refused/create', { kty: 'oct-HSM', ...body });
    expect(await expectRefusal(answer, 400, 'BadParameter')).toMatch(message);
    await expectRefusal(call('GET', '/keys/refused'), 404, 'KeyNotFound');
  });

  test('can be changed until it is immutable, and from then on not in any way', async () => {
    await makeExportable('changing');
    const stricter = policy({ allOf: [{ claim: 'svn', equals: 2 }] }, { immutable: true });
    const changed = await call('PATCH', '/keys/changing', { release_policy: stricter });
    expect(changed.json<Bundle>().release_policy).toMatchObject({ immutable: true });
    for (const weaker of [policy(), { ...stricter, immutable: false }]) {
      const answer = call('PATCH', '/keys/changing', { release_policy: weaker });
      expect(await expectRefusal(answer, 400, 'BadParameter')).toMatch('immutable');
    }
    const same = await call('PATCH', '/keys/changing', {
      release_policy: stricter,
      tags: { a: 'b' },
    });
    expect(same.status).toBe(200);
    expect((await call('GET', '/keys/changing')).json<Bundle>().release_policy).toEqual(
      changed.json<Bundle>().release_policy,
    );
  });

  test('can be imported, and released again as it was', async () => {
    const outside = outsideEc('P-384');
    const answer = await call('PUT', '/keys/imported', {
      key: { ...outside.jwk, kty: 'EC' },
      attributes: { exportable: true },
      release_policy: policy(),
    });
    expect(answer.status).toBe(200);
    const release = await call('POST', '/keys/imported/release', { target: await attest() });
    const { released } = await open(release.json<{ value: string }>().value);
    const key = createPrivateKey({ key: released, format: 'der', type: 'pkcs8' });
    expect(createPublicKey(key).equals(outside.publicKey)).toBe(true);
  });
});

describe('a key’s next life', () => {
  test('keeps the policy through rotation: the new version is released under it too', async () => {
    const { release_policy: before } = await makeExportable('rotated', {
      release_policy: policy(undefined, { immutable: true }),
    });
    const rotated = await call('POST', '/keys/rotated/rotate');
    expect(rotated.json<Bundle>()).toMatchObject({
      attributes: { exportable: true },
      release_policy: before,
    });
    const released = await call('POST', '/keys/rotated/release', { target: await attest() });
    const { payload } = await open(released.json<{ value: string }>().value);
    expect(payload.request['kid']).toBe(rotated.json<Bundle>().key['kid']);
  });

  test('keeps the policy through backup and restore', async () => {
    const made = await makeExportable('restored');
    const backup = await call('POST', '/keys/restored/backup');
    await call('DELETE', '/keys/restored');
    await call('DELETE', '/deletedkeys/restored');
    const restored = await call('POST', '/keys/restore', backup.json());
    expect(restored.json<Bundle>()).toMatchObject({
      key: { kid: made.key['kid'] },
      release_policy: made.release_policy,
    });
    const target = await attest();
    expect((await call('POST', '/keys/restored/release', { target })).status).toBe(200);
    const denied = call('POST', '/keys/restored/release', { target: await attest({ tee: false }) });
    await expectRefusal(denied, 403, 'Forbidden', 'ReleasePolicyNotMet');
  });
});

describe('the Azure library for JavaScript', () => {
  test('makes an exportable key, changes its policy and has it released', async () => {
    const { AZURE_CLIENT_ID: id = '', AZURE_CLIENT_SECRET: secret = '' } = service.client;
    const tlsOptions = { ca: service.ca };
    const credential = new ClientSecretCredential('adfs', id, secret, {
      authorityHost: service.localUrl,
      disableInstanceDiscovery: true,
      tlsOptions,
    });
    const keys = new KeyClient(service.localUrl, credential, {
      disableChallengeResourceVerification: true,
      tlsOptions,
    });
    const encoded = (rules: object) => new Uint8Array(Buffer.from(policy(rules).data, 'base64url'));
    const key = await keys.createRsaKey('by-sdk', {
      hsm: true,
      exportable: true,
      keyOps: ['encrypt', 'decrypt'],
      releasePolicy: { encodedPolicy: encoded({ anyOf: [{ claim: 'sdk-test', equals: 'no' }] }) },
    });
    expect(key.properties).toMatchObject({
      exportable: true,
      releasePolicy: { immutable: false, contentType: 'application/json; charset=utf-8' },
    });
    await expect(keys.releaseKey('by-sdk', await attest())).rejects.toMatchObject({
      statusCode: 403,
    });
    const changed = await keys.updateKeyProperties('by-sdk', key.properties.version ?? '', {
      releasePolicy: {
        encodedPolicy: encoded({ anyOf: [{ claim: 'sdk-test', equals: 'true' }] }),
        immutable: true,
      },
    });
    expect(changed.properties.releasePolicy?.immutable).toBe(true);
    const target = await attest({ 'sdk-test': true });
    const { value } = await keys.releaseKey('by-sdk', target, {
      nonce: 'nonce',
      algorithm: 'RSA_AES_KEY_WRAP_256',
    });
    const { payload, released } = await open(value, 'sha256');
    expect(payload.request['nonce']).toBe('nonce');
    expect(
      createPrivateKey({ key: released, format: 'der', type: 'pkcs8' }).asymmetricKeyType,
    ).toBe('rsa');
  });
});

describe('release', () => {
  test('gives the private key to the attested environment, in a statement that the pool signs', async () => {
    const { key } = await makeExportable('released', { kty: 'RSA-HSM', key_ops: ['sign'] });
    const answer = await call('POST', '/keys/released/release?api-version=7.3', {
      target: await attest(),
      nonce: 'a nonce',
    });
    expect(answer.status).toBe(200);
    const { value } = answer.json<{ value: string }>();
    const { payload, blob, released, chain } = await open(value);
    expect(payload.request).toEqual({
      'api-version': '7.3',
      enc: 'CKM_RSA_AES_KEY_WRAP',
      kid: key['kid'],
      nonce: 'a nonce',
    });
    expect(payload.response.key).toMatchObject({
      attributes: { exportable: true, enabled: true },
      key: { kty: 'RSA', n: key['n'], e: key['e'], kid: key['kid'], key_ops: ['sign'] },
      release_policy: { immutable: false },
    });
    expect(blob).toMatchObject({
      header: { alg: 'dir', enc: 'CKM_RSA_AES_KEY_WRAP', kid: 'environment-key' },
      schema_version: '1.0',
    });

    const [leaf, root] = chain;
    expect(leaf.verify(root.publicKey) && leaf.checkIssued(root)).toBe(true);
    expect(root.verify(root.publicKey) && root.ca).toBe(true);
    expect(leaf.ca).toBe(false);

    const digest = createHash('sha256').update('by the environment').digest('base64url');
    const privateKey = createPrivateKey({ key: released, format: 'der', type: 'pkcs8' });
    const signature = signWithNode('sha256', Buffer.from('by the environment'), privateKey);
    await call('PATCH', '/keys/released', { key_ops: ['sign', 'verify'] });
    const verified = await call('POST', '/keys/released/verify', {
      alg: 'RS256',
      digest,
      value: signature.toString('base64url'),
    });
    expect(verified.json()).toMatchObject({ value: true });
  });

  test.each([
    ['RSA_AES_KEY_WRAP_256', 'sha256'],
    ['RSA_AES_KEY_WRAP_384', 'sha384'],
  ])('wraps by %s where that is asked for', async (enc, oaepHash) => {
    const name = `wrapped-${oaepHash}`;
    await makeExportable(name, { kty: 'oct-HSM', key_size: 256 });
    const answer = await call('POST', `/keys/${name}/release`, { target: await attest(), enc });
    const { released, payload } = await open(answer.json<{ value: string }>().value, oaepHash);
    expect(payload.request['enc']).toBe(enc);
    expect(payload.response.key.key['kty']).toBe('oct');
    const wrapped = await call('POST', `/keys/${name}/wrapkey`, {
      alg: 'A256KW',
      value: Buffer.alloc(32, 7).toString('base64url'),
    });
    const decipher = createDecipheriv('id-aes256-wrap', released, Buffer.alloc(8, 0xa6));
    const { value } = wrapped.json<{ value: string }>();
    expect(
      Buffer.concat([decipher.update(Buffer.from(value, 'base64url')), decipher.final()]),
    ).toEqual(Buffer.alloc(32, 7));
  });

  test('names its environment in the audit log, and writes no token', async () => {
    await makeExportable('audited');
    const target = await attest();
    await call('POST', '/keys/audited/release', { target });
    const events = await call('GET', '/audit/events?keyName=audited&operation=KeyRelease');
    expect(events.text).toMatch('environment-key');
    expect(events.text).toMatch(authority.url);
    expect(events.text).not.toMatch(target.slice(0, 60));
    expect(service.output()).not.toMatch(target.slice(0, 60));
  });

  test('goes on for a key that has expired, and stops for one that is disabled', async () => {
    await makeExportable('dated', { attributes: { exportable: true, exp: 1 } });
    const target = await attest();
    expect((await call('POST', '/keys/dated/release', { target })).status).toBe(200);
    await call('PATCH', '/keys/dated', { attributes: { enabled: false } });
    await expectRefusal(
      call('POST', '/keys/dated/release', { target }),
      403,
      'Forbidden',
      'KeyDisabled',
    );
  });

  test.each<[string, Readonly<Record<string, unknown>>, number, string, string | undefined]>([
    ['whose claim is another', { tee: false }, 403, 'Forbidden', 'ReleasePolicyNotMet'],
    ['without the claim', { tee: undefined }, 403, 'Forbidden', 'ReleasePolicyNotMet'],
    ['that has expired', { exp: 1_600_000_000 }, 403, 'Forbidden', 'AttestationRejected'],
    ['that is not valid yet', { nbf: 4_000_000_000 }, 403, 'Forbidden', 'AttestationRejected'],
    [
      'of another issuer',
      { iss: 'https://other.example' },
      403,
      'Forbidden',
      'AttestationRejected',
    ],
    ['without a key', { 'x-ms-runtime': {} }, 403, 'Forbidden', 'AttestationRejected'],
  ])('is refused for a token %s', async (_what, claims, status, code, inner) => {
    await makeExportable('guarded');
    const answer = call('POST', '/keys/guarded/release', { target: await attest(claims) });
    await expectRefusal(answer, status, code, inner);
  });

  test('is refused for a token whose signature is not the authority’s', async () => {
    await makeExportable('guarded');
    const target = await attest();
    const forged = target.replace(/.{4}$/, (end) => (end === 'AAAA' ? 'BBBB' : 'AAAA'));
    await expectRefusal(
      call('POST', '/keys/guarded/release', { target: forged }),
      403,
      'Forbidden',
      'AttestationRejected',
    );
  });

  test('is refused for a key that is not exportable, an unknown key, version or wrapping, and no token', async () => {
    await call('POST', '/keys/kept/create', { kty: 'oct-HSM' });
    await makeExportable('guarded');
    const target = await attest();
    await expectRefusal(
      call('POST', '/keys/kept/release', { target }),
      403,
      'Forbidden',
      'KeyOperationForbidden',
    );
    await expectRefusal(call('POST', '/keys/unknown/release', { target }), 404, 'KeyNotFound');
    await expectRefusal(
      call('POST', `/keys/guarded/${'0'.repeat(32)}/release`, { target }),
      404,
      'KeyNotFound',
    );
    for (const body of [{ target, enc: 'RSA-OAEP' }, {}, { target: 'no token' }])
      await expectRefusal(call('POST', '/keys/guarded/release', body), 400, 'BadParameter');
  });

  test('is refused for a key whose policy was changed in the database', async () => {
    await makeExportable('tampered', {
      release_policy: policy({ allOf: [{ claim: 'never', equals: 1 }] }),
    });
    await makeExportable('untouched');
    await makeExportable('tampered-rotation');
    const lax = Buffer.from(policy({ anyOf: [{ claim: 'tee', equals: true }] }).data, 'base64url')
      .toString()
      .replace('"1.0"', '"1.0.0"');
    const database = new pg.Client({ connectionString: await ownerUrl(folder) });
    await database.connect();
    const { rowCount } = await database.query(
      `update key_version set release_policy = $1 where name_key in ('tampered', 'tampered-rotation')`,
      [lax],
    );
    await database.end();
    expect(rowCount).toBe(2);
    const target = await attest();
    await expectRefusal(
      call('POST', '/keys/tampered/release', { target }),
      500,
      'KeyIntegrityViolation',
    );
    // Nor does it come under a good seal by way of a new version.
    await expectRefusal(
      call('POST', '/keys/tampered-rotation/rotate'),
      500,
      'KeyIntegrityViolation',
    );
    expect((await call('POST', '/keys/untouched/release', { target })).status).toBe(200);
  });

  test('asks nobody, and says which setting is missing, where no authority is configured; after restarts it signs by the same root', async () => {
    await makeExportable('rooted');
    const rootOf = async () => {
      const answer = await call('POST', '/keys/rooted/release', { target: await attest() });
      return (await open(answer.json<{ value: string }>().value)).chain[1].fingerprint256;
    };
    const root = await rootOf();
    await service.stop();
    service = await start('');
    call.close();
    call = createCaller(service, token);
    // A policy may be there before the setting is.
    await makeExportable('waiting');
    const before = authority.requests.length;
    const target = await attest();
    const release = () => call('POST', '/keys/waiting/release', { target });
    expect(await expectRefusal(release(), 403, 'Forbidden', 'AttestationRejected')).toContain(
      'STRONGROOM_ATTESTATION_AUTHORITIES',
    );
    expect(authority.requests).toHaveLength(before);
    await service.stop();
    service = await start();
    call.close();
    call = createCaller(service, token);
    expect((await release()).status).toBe(200);
    expect(await rootOf()).toBe(root);
  });
});

interface Statement {
  readonly subject: string;
  readonly kid: string;
  readonly pool: Readonly<Record<string, unknown>>;
  readonly key: Readonly<Record<string, unknown>>;
  readonly module: Readonly<Record<string, unknown>>;
  readonly object?: Readonly<Record<string, unknown>>;
  readonly sealed?: Readonly<Record<string, unknown>>;
  readonly matchesPrivateKey?: boolean;
}

/** As a relying party reads it: the chain up to the root, then the statements by its first certificate. */
async function readAttestation(path: string) {
  const answer = await call('GET', path);
  expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
  const bundle = answer.json<Bundle>();
  const attestation = bundle.attributes.attestation ?? {};
  const text = (name: string) => Buffer.from(attestation[name] ?? '', 'base64url').toString();
  const [leaf, root] = text('certificatePemFile')
    .split(/(?<=-----END CERTIFICATE-----\n)/)
    .map((pem) => new X509Certificate(pem));
  if (leaf === undefined || root === undefined) throw new Error('no chain');
  expect(leaf.checkIssued(root) && leaf.verify(root.publicKey)).toBe(true);
  const statement = async (name: string): Promise<Statement | undefined> => {
    if (attestation[name] === undefined) return undefined;
    const { payload } = await compactVerify(text(name), leaf.publicKey, { algorithms: ['RS256'] });
    return JSON.parse(Buffer.from(payload).toString()) as Statement;
  };
  return {
    bundle,
    version: attestation['version'],
    root,
    privateStatement: await statement('privateKeyAttestation'),
    publicStatement: await statement('publicKeyAttestation'),
  };
}

describe('a data key that is made in the HSM and wrapped there', () => {
  const RSA = { kty: 'RSA-HSM' };
  const AT = '?api-version=2026-04-01';

  /** What the environment does with an answer. */
  function opened(value: string): Buffer {
    const bytes = Buffer.from(value, 'base64url');
    const transport = privateDecrypt(
      { key: environment.privateKey, padding: constants.RSA_PKCS1_OAEP_PADDING, oaepHash: 'sha1' },
      bytes.subarray(0, 256),
    );
    const aiv = Buffer.from('a65959a6', 'hex');
    const decipher = createDecipheriv('id-aes256-wrap-pad', transport, aiv);
    return Buffer.concat([decipher.update(bytes.subarray(256)), decipher.final()]);
  }
  const operation = async (key: string, name: string, body: object, at = AT) => {
    const answer = await call('POST', `/keys/${key}/${name}${at}`, body);
    expect([answer.status, answer.text]).toEqual([200, expect.anything()]);
    return answer.json<{ kid: string; alg: string; value: string }>();
  };

  test.each([
    ['RSA-OAEP-256', RSA],
    ['A128KW', { kty: 'oct-HSM', key_size: 128 }],
    ['A192KWPAD', { kty: 'oct-HSM', key_size: 192 }],
    ['A256KW', { kty: 'oct-HSM' }],
    ['A256KWPAD', { kty: 'oct-HSM' }],
    ['CKM_AES_KEY_WRAP', { kty: 'oct-HSM' }],
    ['CKM_AES_KEY_WRAP_PAD', { kty: 'oct-HSM', key_size: 128 }],
  ])('by %s comes out for the attested environment alone', async (alg, kind) => {
    const { key } = await makeExportable(`secure-${alg.toLowerCase().replaceAll('_', '-')}`, kind);
    const name = (key['kid'] ?? '').split('/').at(-2) ?? '';
    const wrapped = await operation(name, 'securewrapkey', { alg });
    expect([wrapped.alg, wrapped.kid]).toEqual([alg, key['kid']]);
    const body = { alg, value: wrapped.value, target: await attest() };
    const unwrapped = await operation(name, 'secureUnwrapKey', body);
    expect([unwrapped.alg, unwrapped.kid]).toEqual([alg, key['kid']]);
    const dataKey = opened(unwrapped.value);
    expect(dataKey).toHaveLength(32);
    expect(unwrapped.value).not.toContain(dataKey.toString('base64url'));
    // The very key that was wrapped: the ordinary operation, which this key allows, gives it too.
    const plainAlg = alg.replace(/^A.*PAD$/, 'CKM_AES_KEY_WRAP_PAD');
    const plain = await operation(name, 'unwrapkey', { alg: plainAlg, value: wrapped.value });
    expect(plain.value).toBe(dataKey.toString('base64url'));
    const again = await operation(name, 'securewrapkey', { alg });
    const other = await operation(name, 'secureunwrapkey', { ...body, value: again.value });
    expect(opened(other.value)).not.toEqual(dataKey);
    // For another environment, nothing.
    const foreign = { ...body, target: await attest({ tee: false }) };
    await expectRefusal(
      call('POST', `/keys/${name}/secureunwrapkey${AT}`, foreign),
      403,
      'Forbidden',
      'ReleasePolicyNotMet',
    );
    const bent = Buffer.from(wrapped.value, 'base64url');
    bent.writeUInt8(bent.readUInt8(9) ^ 1, 9);
    for (const value of [
      bent,
      bent.subarray(8),
      Buffer.alloc(40),
      Buffer.alloc(256, 1),
      Buffer.alloc(0),
    ]) {
      const wrong = { ...body, value: value.toString('base64url') };
      const answer = call('POST', `/keys/${name}/secureunwrapkey${AT}`, wrong);
      expect(await expectRefusal(answer, 400, 'BadParameter')).toContain('could not be decrypted');
    }
  });

  test('stays in where the key may unwrap in no other way', async () => {
    const newest = '?api-version=2026-05-01-preview';
    const answer = await call('POST', `/keys/secure-only/create${newest}`, {
      kty: 'oct-HSM',
      key_ops: ['secureWrapKey', 'secureUnwrapKey'],
      attributes: { exportable: true },
      release_policy: policy(),
    });
    expect(answer.json<Bundle>().key['key_ops']).toEqual(['secureWrapKey', 'secureUnwrapKey']);
    const { value } = await operation('secure-only', 'securewrapkey', { alg: 'A256KW' }, newest);
    const plain = call('POST', `/keys/secure-only/unwrapkey`, { alg: 'A256KW', value });
    await expectRefusal(plain, 403, 'Forbidden', 'KeyOperationForbidden');
    const body = { alg: 'A256KW', value, target: await attest() };
    const released = await operation('secure-only', 'secureunwrapkey', body, newest);
    expect(opened(released.value)).toHaveLength(32);
  });

  test('is refused without a policy, by an unfit algorithm or key, and by versions that lack it', async () => {
    await makeExportable('secure-refusing', { kty: 'oct-HSM' });
    await call('POST', '/keys/secure-plain/create', { kty: 'oct-HSM' });
    await call('POST', '/keys/secure-narrow/create', { kty: 'oct-HSM', key_ops: ['encrypt'] });
    const target = await attest();
    const { value } = await operation('secure-plain', 'securewrapkey', { alg: 'A256KW' });
    const unwrap = { alg: 'A256KW', value, target };
    const message = await expectRefusal(
      call('POST', `/keys/secure-plain/secureunwrapkey${AT}`, unwrap),
      403,
      'Forbidden',
      'KeyOperationForbidden',
    );
    expect(message).toContain('no release policy');
    const post = (path: string, body: object) => call('POST', path, body);
    for (const [path, body, named] of [
      [`/keys/secure-refusing/securewrapkey${AT}`, { alg: 'A128KW' }, 'incompatible'],
      [`/keys/secure-refusing/securewrapkey${AT}`, { alg: 'A256GCM' }, 'no algorithm'],
      [`/keys/secure-refusing/securewrapkey${AT}`, { alg: '__proto__' }, 'no algorithm'],
      [`/keys/secure-refusing/securewrapkey${AT}`, {}, 'alg'],
      [`/keys/secure-refusing/secureunwrapkey${AT}`, { alg: 'A256KW', value }, 'target'],
      [
        '/keys/secure-refusing/securewrapkey?api-version=7.4',
        { alg: 'A256KW' },
        '2026-01-01-preview',
      ],
      [
        '/keys/secure-refusing/secureunwrapkey?api-version=2025-07-01',
        unwrap,
        '2026-01-01-preview',
      ],
      [
        '/keys/secure-refusing/secureunwrapkey?api-version=2026-07-01-preview',
        unwrap,
        'applicationTrustedIssuer is missing',
      ],
      [
        '/keys/secure-ops/create?api-version=2026-04-01',
        { kty: 'oct', key_ops: ['secureWrapKey'] },
        '2026-05-01-preview',
      ],
    ] as const)
      expect(await expectRefusal(post(path, body), 400, 'BadParameter')).toContain(named);
    await expectRefusal(
      post(`/keys/secure-narrow/securewrapkey${AT}`, { alg: 'A256KW' }),
      403,
      'Forbidden',
      'KeyOperationForbidden',
    );
    await expectRefusal(
      post(`/keys/secure-refusing/secureunwrapkey${AT}`, { ...unwrap, target: `${target}x` }),
      403,
      'Forbidden',
      'AttestationRejected',
    );
  });

  test('goes by the one issuer that its caller trusts', async () => {
    await makeExportable('secure-issuer', { kty: 'oct-HSM' });
    const at = '?api-version=2026-07-01-preview';
    const { value } = await operation('secure-issuer', 'securewrapkey', { alg: 'A256KW' }, at);
    const body = { alg: 'A256KW', value, target: await attest() };
    const path = `/keys/secure-issuer/secureunwrapkey`;
    const trusted = { ...body, applicationTrustedIssuer: `${authority.url}/` };
    expect((await call('POST', `${path}${at}`, trusted)).status).toBe(200);
    for (const version of [at, '?api-version=2026-04-01']) {
      const other = { ...body, applicationTrustedIssuer: 'https://attest.example' };
      const answer = call('POST', `${path}${version}`, other);
      await expectRefusal(answer, 403, 'Forbidden', 'AttestationRejected');
    }
  });
});

describe('attestation', () => {
  test('states of an asymmetric key what the HSM says of it, of both halves', async () => {
    const made = await call('POST', '/keys/attested/create', { kty: 'RSA-HSM', key_size: 2048 });
    const { key } = made.json<Bundle>();
    const { bundle, version, privateStatement, publicStatement } = await readAttestation(
      '/keys/attested/attestation?api-version=7.6',
    );
    expect(bundle.key).toEqual(key);
    expect(version).toBe('STRONGROOM-1');
    const spki = createPublicKey({
      format: 'jwk',
      key: { kty: 'RSA', n: key['n'] ?? '', e: key['e'] ?? '' },
    }).export({ format: 'der', type: 'spki' });
    const common = {
      kid: key['kid'],
      pool: { name: 'main', rootGeneration: 1 },
      key: {
        name: 'attested',
        kty: 'RSA-HSM',
        bits: 2048,
        publicKeySha256: createHash('sha256').update(spki).digest('base64url'),
      },
      module: { manufacturer: 'SoftHSM' },
    };
    expect(privateStatement).toMatchObject({
      ...common,
      subject: 'private',
      object: {
        class: 'private',
        keyType: 'RSA',
        bits: 2048,
        private: true,
        sensitive: true,
        extractable: false,
      },
      sealed: { origin: 'generated', exportable: false },
    });
    expect(publicStatement).toMatchObject({
      ...common,
      subject: 'public',
      matchesPrivateKey: true,
    });
  });

  test('states one half of an AES key, by version too', async () => {
    const made = await call('POST', '/keys/attested-aes/create', { kty: 'oct-HSM' });
    const version = made.json<Bundle>().key['kid']?.split('/').at(-1) ?? '';
    const { privateStatement, publicStatement } = await readAttestation(
      `/keys/attested-aes/${version}/attestation`,
    );
    expect(privateStatement).toMatchObject({
      key: { version, kty: 'oct-HSM', bits: 256 },
      object: { class: 'secret', extractable: false },
    });
    expect(publicStatement).toBeUndefined();
  });

  test('tells an imported and an exportable key from others', async () => {
    const outside = outsideEc('P-256K');
    const imported = await call('PUT', '/keys/attested-import', {
      key: { ...outside.jwk, kty: 'EC' },
      attributes: { exportable: true },
      release_policy: policy(),
    });
    const data = imported.json<Bundle>().release_policy?.data ?? '';
    const { privateStatement, publicStatement } = await readAttestation(
      '/keys/attested-import/attestation',
    );
    expect(privateStatement?.sealed).toMatchObject({
      origin: 'imported',
      exportable: true,
      releasePolicyImmutable: false,
      releasePolicySha256: createHash('sha256')
        .update(Buffer.from(data, 'base64url'))
        .digest('base64url'),
    });
    expect(publicStatement).toMatchObject({ key: { crv: 'P-256K' }, matchesPrivateKey: true });
  });

  test('is refused for a key that is not there', async () => {
    await expectRefusal(call('GET', '/keys/nothing/attestation'), 404, 'KeyNotFound');
  });
});
