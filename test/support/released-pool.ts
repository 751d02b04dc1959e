import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import pg from 'pg';
import { prepareDevelopmentCertificate } from '../../src/setup/trust/development-ca.ts';
import { writeConfiguration } from '../../src/setup/softhsm/token.ts';
import { fromGlobalSetup } from './environment.ts';
import { createTestDatabase, type TestDatabase } from './postgres.ts';

const FOLDER = new URL('../upgrade/schema-0083/', import.meta.url);
const DOMAIN = 'hsm.example';

interface Credentials {
  readonly clientId: string;
  readonly clientSecret: string;
}

/** What was done with a version of a key. */
interface UsedKey {
  readonly name: string;
  readonly version: string;
  readonly wrapped?: { readonly alg: string; readonly value: string };
  readonly encrypted?: {
    readonly alg: string;
    readonly value: string;
    readonly iv: string;
    readonly tag: string;
  };
  readonly signed?: { readonly alg: string; readonly digest: string; readonly value: string };
}

/** As test/upgrade/make.mjs writes it. */
interface Deeds {
  /** What was wrapped and encrypted: 32 bytes in base64url. */
  readonly value: string;
  readonly administrator: Credentials & { readonly principalId: string };
  readonly reader: Credentials;
  readonly keys: readonly UsedKey[];
  /** Of the key `backed-up`. */
  readonly backup: string;
  readonly deleted: { readonly name: string; readonly scheduledPurgeDate: number };
}

/** A pool as the last released version has left it: its database, which isn't migrated, its token, and what it did. */
export interface ReleasedPool {
  readonly database: TestDatabase;
  readonly settings: Readonly<Record<string, string>>;
  readonly caFile: string;
  readonly deeds: Deeds;
  remove(): Promise<void>;
}

export async function openReleasedPool(): Promise<ReleasedPool> {
  const read = (name: string) => readFile(new URL(name, FOLDER), 'utf8');
  const place = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const database = await createTestDatabase('template1');
  const client = new pg.Client({ connectionString: database.ownerUrl });
  await client.connect();
  try {
    await client.query(await read('database.sql'));
  } finally {
    await client.end();
  }
  const tokens = join(place, 'tokens');
  const files = JSON.parse(await read('token.json')) as Record<string, string>;
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(tokens, name)), { recursive: true });
    await writeFile(join(tokens, name), Buffer.from(content, 'base64'));
  }
  const configFile = join(place, 'softhsm2.conf');
  await writeConfiguration(configFile, tokens);
  const { certificate, privateKey, caFile } = await prepareDevelopmentCertificate(place, {
    domain: DOMAIN,
  });
  const file = async (name: string, content: string) => {
    await writeFile(join(place, name), content);
    return join(place, name);
  };
  return {
    database,
    caFile,
    settings: {
      PATH: process.env['PATH'] ?? '',
      DATABASE_URL: database.serviceUrl,
      SOFTHSM2_CONF: configFile,
      PKCS11_MODULE: fromGlobalSetup('STRONGROOM_TEST_PKCS11_MODULE'),
      PKCS11_TOKEN_LABEL: 'upgrade',
      PKCS11_PIN: 'the upgrade test owns this token',
      STRONGROOM_TLS_CERT_FILE: await file('cert.pem', certificate),
      STRONGROOM_TLS_KEY_FILE: await file('key.pem', privateKey),
      STRONGROOM_DOMAIN: DOMAIN,
    },
    deeds: JSON.parse(await read('pool.json')) as Deeds,
    async remove() {
      await database.drop();
      await rm(place, { recursive: true, force: true });
    },
  };
}

type Post = (
  path: string,
  body: object,
) => Promise<{ readonly status: number; json<Shape>(): Shape }>;

/** Has the keys do again what they did, and undo it. @returns what is wrong */
export async function useAsBefore(post: Post, { keys, value }: Deeds): Promise<readonly string[]> {
  const wrong: string[] = [];
  async function expectValue(what: string, path: string, body: object, wanted: unknown) {
    const answer = await post(path, body);
    const { value: found } = answer.json<{ value?: unknown }>();
    if (answer.status !== 200 || found !== wanted) wrong.push(`${what}: ${answer.status}`);
  }
  for (const { name, version, wrapped, encrypted, signed } of keys) {
    const path = `/keys/${name}/${version}`;
    if (wrapped !== undefined)
      await expectValue(`${name} unwraps`, `${path}/unwrapkey`, wrapped, value);
    if (encrypted !== undefined)
      await expectValue(`${name} decrypts`, `${path}/decrypt`, encrypted, value);
    if (signed === undefined) continue;
    const { alg, digest, value: signature } = signed;
    const verify = { alg, digest, value: signature };
    await expectValue(`${name} verifies`, `${path}/verify`, verify, true);
    const again = await post(`${path}/sign`, { alg, value: digest });
    const made = again.json<{ value?: string }>().value;
    await expectValue(`${name} signs`, `${path}/verify`, { alg, digest, value: made }, true);
    // Of one input PKCS#1 v1.5 gives one signature.
    if (alg.startsWith('RS') && made !== signature) wrong.push(`${name} signs otherwise`);
  }
  return wrong;
}
