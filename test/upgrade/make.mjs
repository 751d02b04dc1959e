/**
 * make.mjs MAIN WORK OUT: starts a released version's service, and has it make what a pool can hold. What was done with each
 * key is written to OUT/pool.json, for a later version to do the same.
 */
import { Buffer } from 'node:buffer';
import { spawn } from 'node:child_process';
import { createHash, randomUUID } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import process from 'node:process';
import { createInterface } from 'node:readline';
import { URL, URLSearchParams } from 'node:url';

const [main, work, out] = process.argv.slice(2);
const credentials = JSON.parse(readFileSync(join(work, 'administrator.json'), 'utf8'));
const HOST = 'main.hsm.example';
const OFFICER = '515eb02d-2335-4d2d-92f2-b1cbdf9c3778';
const USER = '21dbd100-6940-42c2-9190-5d6cb909625b';
const READER = '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3';
/** 32 bytes that are no secret: what is wrapped, encrypted and signed. */
const VALUE = createHash('sha256').update('strongroom upgrade').digest('base64url');

const service = spawn(process.execPath, [main, 'serve'], { stdio: ['ignore', 'pipe', 'inherit'] });
const ended = new Promise((resolve) => service.once('exit', resolve));
const port = await new Promise((resolve, reject) => {
  ended.then((status) => reject(new Error(`the service has ended with ${status}`)));
  createInterface(service.stdout).on('line', (line) => {
    const url = /is (?:not )?ready: (https:\S+)/.exec(line)?.[1];
    if (url !== undefined) resolve(new URL(url).port);
  });
});

let token;
async function call(method, path, body, headers = {}) {
  const text = typeof body === 'string' ? body : JSON.stringify(body);
  const url =
    path.startsWith('/v1.0') || path.startsWith('/adfs') ? path : `${path}?api-version=7.4`;
  const { status, answer } = await new Promise((resolve, reject) => {
    const asked = request(
      {
        ...{
          host: '127.0.0.1',
          port,
          method,
          path: url,
          rejectUnauthorized: false,
          servername: HOST,
        },
        headers: {
          Host: `${HOST}:${port}`,
          ...(token !== undefined && { Authorization: `Bearer ${token}` }),
          ...(body !== undefined && { 'Content-Type': 'application/json' }),
          ...headers,
        },
      },
      (response) => {
        let answer = '';
        response.setEncoding('utf8').on('data', (part) => (answer += part));
        response.on('end', () => resolve({ status: response.statusCode, answer }));
      },
    );
    asked.on('error', reject);
    asked.end(body === undefined ? undefined : text);
  });
  if (status >= 300) throw new Error(`${method} ${path}: ${status} ${answer}`);
  return answer === '' ? undefined : JSON.parse(answer);
}

const form = new URLSearchParams({
  grant_type: 'client_credentials',
  client_id: credentials.clientId,
  client_secret: credentials.clientSecret,
  scope: 'https://hsm.example/.default',
});
const signIn = { 'Content-Type': 'application/x-www-form-urlencoded' };
({ access_token: token } = await call('POST', '/adfs/oauth2/token', form.toString(), signIn));
const assign = (role, principalId, scope = '') =>
  call('PUT', `${scope}/providers/Microsoft.Authorization/roleAssignments/${randomUUID()}`, {
    properties: { roleDefinitionId: role, principalId },
  });
await assign(OFFICER, credentials.principalId);
await assign(USER, credentials.principalId);

const keys = [];
async function use(name, { wrap, sign, encrypt }, kid) {
  const version = kid.split('/').at(-1);
  const path = `/keys/${name}/${version}`;
  const done = { name, version };
  if (wrap !== undefined)
    done.wrapped = {
      alg: wrap,
      value: (await call('POST', `${path}/wrapkey`, { alg: wrap, value: VALUE })).value,
    };
  if (encrypt !== undefined) {
    const { value, iv, tag } = await call('POST', `${path}/encrypt`, {
      alg: encrypt,
      value: VALUE,
    });
    done.encrypted = { alg: encrypt, value, iv, tag };
  }
  if (sign !== undefined) {
    const [alg, size] = sign;
    const digest = createHash(`sha${size}`).update(VALUE).digest('base64url');
    done.signed = {
      alg,
      digest,
      value: (await call('POST', `${path}/sign`, { alg, value: digest })).value,
    };
  }
  keys.push(done);
}
async function make(name, body, uses) {
  const { key } = await call('POST', `/keys/${name}/create`, body);
  await use(name, uses, key.kid);
  return key;
}
await make(
  'rsa-2048',
  { kty: 'RSA-HSM', key_size: 2048 },
  { wrap: 'RSA-OAEP-256', sign: ['RS256', 256] },
);
await make(
  'rsa-3072',
  { kty: 'RSA-HSM', key_size: 3072 },
  { wrap: 'RSA-OAEP', sign: ['PS384', 384] },
);
await make(
  'rsa-4096',
  { kty: 'RSA-HSM', key_size: 4096 },
  { wrap: 'RSA-OAEP-256', sign: ['RS512', 512] },
);
await make('ec-256', { kty: 'EC-HSM', crv: 'P-256' }, { sign: ['ES256', 256] });
await make('ec-384', { kty: 'EC-HSM', crv: 'P-384' }, { sign: ['ES384', 384] });
await make('ec-521', { kty: 'EC-HSM', crv: 'P-521' }, { sign: ['ES512', 512] });
await make('ec-256k', { kty: 'EC-HSM', crv: 'P-256K' }, { sign: ['ES256K', 256] });
await make('oct-128', { kty: 'oct-HSM', key_size: 128 }, { wrap: 'A128KW', encrypt: 'A128GCM' });
await make('oct-192', { kty: 'oct-HSM', key_size: 192 }, { wrap: 'A192KW', encrypt: 'A192GCM' });
await make(
  'oct-256',
  { kty: 'oct-HSM', key_size: 256, tags: { team: 'one' } },
  { wrap: 'A256KW', encrypt: 'A256GCM' },
);
// A second version; the first goes on to open what it has wrapped.
const { key: rotated } = await call('POST', '/keys/oct-256/rotate', {});
await use('oct-256', { wrap: 'A256KW' }, rotated.kid);
await call('PUT', '/keys/rsa-2048/rotationpolicy', {
  lifetimeActions: [{ trigger: { timeAfterCreate: 'P10Y' }, action: { type: 'Rotate' } }],
  attributes: { expiryTime: 'P20Y' },
});
const imported = { kty: 'oct-HSM', k: VALUE, key_ops: ['wrapKey', 'unwrapKey'] };
const { key } = await call('PUT', '/keys/imported', { key: imported, hsm: true });
await use('imported', { wrap: 'A256KW' }, key.kid);
const policy = {
  version: '1.0.0',
  anyOf: [
    { authority: 'https://attestation.example', allOf: [{ claim: 'sdk-test', equals: true }] },
  ],
};
await make(
  'exportable',
  {
    ...{ kty: 'RSA-HSM', key_size: 2048, attributes: { exportable: true } },
    release_policy: { data: Buffer.from(JSON.stringify(policy)).toString('base64url') },
  },
  { sign: ['PS256', 256] },
);
await make('disabled', { kty: 'EC-HSM', crv: 'P-256' }, {});
await call('PATCH', '/keys/disabled', { attributes: { enabled: false } });
await make('backed-up', { kty: 'EC-HSM', crv: 'P-256' }, {});
const backup = (await call('POST', '/keys/backed-up/backup', {})).value;
await make('deleted', { kty: 'oct-HSM', key_size: 256 }, { wrap: 'A256KW' });
const { scheduledPurgeDate } = await call('DELETE', '/keys/deleted');

// The directory, and who may do what.
const app = await call('POST', '/v1.0/applications', { displayName: 'reader' });
const reader = await call('POST', '/v1.0/servicePrincipals', { appId: app.appId });
const password = await call('POST', `/v1.0/applications/${app.id}/addPassword`, {
  passwordCredential: { endDateTime: '2099-01-01T00:00:00Z' },
});
const group = await call('POST', '/v1.0/groups', {
  ...{ displayName: 'readers', mailEnabled: false, mailNickname: 'readers', securityEnabled: true },
});
await call('POST', `/v1.0/groups/${group.id}/members/$ref`, {
  '@odata.id': `https://${HOST}/v1.0/directoryObjects/${reader.id}`,
});
const role = randomUUID();
await call('PUT', `/providers/Microsoft.Authorization/roleDefinitions/${role}`, {
  properties: {
    ...{ roleName: 'signs alone', description: 'for the upgrade', type: 'CustomRole' },
    permissions: [{ dataActions: ['Microsoft.KeyVault/managedHsm/keys/sign/action'] }],
    assignableScopes: ['/'],
  },
});
await assign(role, group.id, '/keys/ec-256');
await assign(READER, reader.id, '/keys/ec-384');

service.kill('SIGTERM');
await ended;
writeFileSync(
  join(out, 'pool.json'),
  `${JSON.stringify(
    {
      value: VALUE,
      administrator: credentials,
      reader: { clientId: app.appId, clientSecret: password.secretText },
      ...{ keys, backup, deleted: { name: 'deleted', scheduledPurgeDate } },
    },
    null,
    2,
  )}\n`,
);
