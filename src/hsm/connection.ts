import { setTimeout as delay } from 'node:timers/promises';
import { type Key, type Session } from 'graphene-pk11';
import { ServiceError } from '../core/errors.ts';
import { type KeyMaterial } from '../core/key.ts';
import { type Capabilities, probeCapabilities } from './capabilities.ts';
import { fromPkcs11, returnValue } from './errors.ts';
import { type KeyPart, LoadedKeys } from './loaded-keys.ts';
import { HMAC_SHA256, KEY_WRAP_PADDED } from './mechanisms.ts';
import { type NativeCalls } from './native-calls.ts';
import { findRootKeys, type RootKeys } from './root-keys.ts';
import { sealedBytes } from './seal.ts';
import { SessionPool } from './session-pool.ts';
import { loadedMac, loadedPrivate, loadedPublic } from './templates.ts';
import { openToken, type Token, type TokenOptions } from './token.ts';
import { Turns } from './turns.ts';

export interface ConnectionOptions extends TokenOptions {
  /** Sessions at most; the token's own limit still holds. */
  readonly sessions: number;
  readonly leaseWaitMs: number;
  /** Callers that may wait for a session, for a key to be loaded, or for their turn at key generation. */
  readonly waitingLimit: number;
  /** Key versions loaded at most. */
  readonly loadedKeys: number;
}

/** All that hangs on one initialisation of the library and one login: after a lost device it is made anew, whole. */
export interface Connection {
  readonly token: Token;
  readonly pool: SessionPool;
  readonly capabilities: Capabilities;
  readonly loaded: LoadedKeys;
  /** One call at a time on the keeper's session. */
  readonly keeperTurns: Turns;
  rootKeys: RootKeys | undefined;
  /** HMAC-SHA256 by `root-seal`. */
  mac(data: Buffer): Promise<Buffer>;
  /** Waits for calls under way, within a limit: a library that is finalised under one crashes the process. */
  close(): Promise<void>;
}

/** Two are never leased: the keeper's own, and one that the token's administrator may need. */
const SESSIONS_KEPT_FREE = 2;

const CLOSE_LIMIT_MS = 5_000;

export function openConnection(
  options: ConnectionOptions,
  calls: NativeCalls,
  roots: { poolId: string; generation: number } | undefined,
): Connection {
  const token = openToken(options);
  const limit = token.sessionLimit ?? Number.POSITIVE_INFINITY;
  const pool = new SessionPool({
    open: token.openSession,
    size: token.takesTurns
      ? 1
      : Math.max(1, Math.min(options.sessions, limit - SESSIONS_KEPT_FREE)),
    waitMs: options.leaseWaitMs,
    waitingLimit: options.waitingLimit,
  });
  const connection: Connection = {
    token,
    pool,
    keeperTurns: new Turns(options.waitingLimit),
    capabilities: probeCapabilities(token.keeper),
    loaded: new LoadedKeys(
      {
        verifySeal: (material) => verifySeal(connection, calls, material),
        load: (material, part) => loadKey(connection, calls, material, part),
        // In a lease like every call; a key that can't be destroyed has gone with its session or its library.
        destroy: (key) => {
          pool
            .withSession(() => {
              key.destroy();
              return Promise.resolve();
            })
            .catch(() => undefined);
        },
      },
      options.loadedKeys,
    ),
    rootKeys: roots && findRootKeys(token.keeper, roots.poolId, roots.generation),
    mac: (data) =>
      pool.withSession((session) => makeMac(session, calls, requireRootKeys(connection), data)),
    close: async () => {
      const closed = pool.close();
      connection.loaded.clear();
      await Promise.race([closed, delay(CLOSE_LIMIT_MS, undefined, { ref: false })]);
      token.close();
    },
  };
  return connection;
}

export function requireRootKeys({ rootKeys }: Pick<Connection, 'rootKeys'>): RootKeys {
  if (rootKeys === undefined)
    throw new ServiceError('HsmUnavailable', 'The root keys of this pool are not in the HSM.');
  return rootKeys;
}

function makeMac(
  session: Session,
  calls: NativeCalls,
  { seal }: RootKeys,
  data: Buffer,
): Promise<Buffer> {
  return calls.run('sign seal', 'fast', {
    inline: () => session.createSign(HMAC_SHA256, seal).once(data),
    offLoop: (done) => {
      session.createSign(HMAC_SHA256, seal).once(data, done);
    },
  });
}

/** Verified inside the HSM. @throws ServiceError KeyIntegrityViolation */
async function verifySeal(
  connection: Connection,
  calls: NativeCalls,
  material: KeyMaterial,
): Promise<void> {
  const { sealed, identity } = material;
  const roots = requireRootKeys(connection);
  const data = sealedBytes(material, sealed);
  const seal = Buffer.from(sealed.seal);
  const isIntact =
    roots.generation === sealed.rootGeneration &&
    seal.length === 32 &&
    (await connection.pool.withSession((session) =>
      calls.run('verify seal', 'fast', {
        inline: () => session.createVerify(HMAC_SHA256, roots.seal).once(data, seal),
        offLoop: (done) => {
          session.createVerify(HMAC_SHA256, roots.seal).once(data, seal, done);
        },
      }),
    ));
  if (!isIntact) throw brokenSeal(identity);
}

function brokenSeal(identity: KeyMaterial['identity'], cause?: unknown): ServiceError {
  return new ServiceError(
    'KeyIntegrityViolation',
    `The stored key ${identity.name}/${identity.version} does not match its seal: it has been altered and is not used.`,
    { cause },
  );
}

async function loadKey(
  connection: Connection,
  calls: NativeCalls,
  { identity, spec, publicKey, sealed }: KeyMaterial,
  part: KeyPart,
): Promise<Key> {
  const { keeper } = connection.token;
  const { pool, keeperTurns } = connection;
  if (part === 'public') {
    if (publicKey === undefined) throw brokenSeal(identity);
    const template = loadedPublic(spec, publicKey);
    return pool.withSession(() => Promise.resolve(keeper.create(template).toType<Key>()));
  }
  const blob = part === 'private' ? sealed.blob : sealed.macBlob;
  if (blob === undefined) throw brokenSeal(identity);
  const template = part === 'private' ? loadedPrivate(identity, spec) : loadedMac(identity);
  const roots = requireRootKeys(connection);
  try {
    // The keeper owns what is loaded. The lease keeps the call apart from others where the module needs that.
    return await pool.withSession(() =>
      keeperTurns.take(() =>
        calls.run(`load ${spec.keyType}`, spec.keyType === 'oct-HSM' ? 'fast' : 'slow', {
          inline: () => keeper.unwrapKey(KEY_WRAP_PADDED, roots.wrap, Buffer.from(blob), template),
          offLoop: (done) => {
            keeper.unwrapKey(KEY_WRAP_PADDED, roots.wrap, Buffer.from(blob), template, done);
          },
        }),
      ),
    );
  } catch (error) {
    // The seal was right, so these bytes were wrapped by a root key of this generation: the HSM holds another one.
    if (returnValue(error)?.startsWith('CKR_WRAPPED_KEY') === true)
      throw brokenSeal(identity, error);
    throw fromPkcs11(error);
  }
}
