import { setTimeout as delay } from 'node:timers/promises';
import { availableParallelism } from 'node:os';
import graphene, { type Key } from 'graphene-pk11';
import { ServiceError } from '../../core/errors.ts';
import { type KeyMaterial } from '../../core/keys/key.ts';
import { unpackBytes } from '../../core/keys/packed-bytes.ts';
import { type Capabilities } from './capabilities.ts';
import { faultOf } from './errors.ts';
import { returnValue } from './return-values.ts';
import { type KeyPart, LoadedKeys } from '../keys/loaded-keys.ts';
import { NativeCalls } from './native-calls.ts';
import {
  closeModuleInThread,
  type OpenedModule,
  openModule,
  openModuleInThread,
  type Roots,
} from './open-module.ts';
import { type RootKeys } from '../keys/root-keys.ts';
import { sealedBytes } from '../keys/seal.ts';
import { SessionPool } from './session-pool.ts';
import { TokenProbe } from './token-probe.ts';
import { HsmWorkers } from './hsm-worker.ts';
import { type Token, type TokenOptions } from './token.ts';
import { Turns } from './turns.ts';
import { type OperationSession, inlineSession } from '../operations/operations.ts';

export interface ConnectionOptions extends TokenOptions {
  /** Sessions at most, chosen from the number of cores where absent; the token's own limit still holds. */
  readonly sessions?: number;
  readonly leaseWaitMs: number;
  /** Callers that may wait for a session, or for a key to be loaded. */
  readonly waitingLimit: number;
  /** Key versions loaded at most. */
  readonly loadedKeys: number;
  readonly operationDeadlineMs: number;
  readonly keyGenerationDeadlineMs: number;
  /** RSA keys are made in a process of their own where the module leaves one session for everything. */
  readonly generatesApart?: boolean;
  /** A call of the driver hasn't come back and never may: the process should be replaced. */
  readonly onHang: (operation: string) => void;
}

/** All that hangs on one initialisation of the library and one login: after a lost device it is made anew, whole. */
export interface Connection {
  readonly token: Token;
  readonly pool: SessionPool<OperationSession>;
  readonly capabilities: Capabilities;
  readonly loaded: LoadedKeys;
  /** The module is too slow for the event loop: its sessions are worked on in threads of their own. */
  readonly isSlow: boolean;
  rootKeys: RootKeys | undefined;
  /** Whether the token still does its work; asked where something failed for a reason that may be this. */
  isWell(): Promise<boolean>;
  /** HMAC-SHA256 by `root-seal`. */
  mac(data: Buffer): Promise<Buffer>;
  /** Waits for calls under way, within a limit: a library that is finalised under one crashes the process. */
  close(): Promise<void>;
}

/** Two are never leased: the keeper's own, and one that the token's administrator may need. */
const SESSIONS_KEPT_FREE = 2;

const CLOSE_LIMIT_MS = 5_000;

/** The event loop waits meanwhile. */
export function openConnection(options: ConnectionOptions, roots: Roots | undefined): Connection {
  return connect(options, openModule(options, roots));
}

/** For a module that was slow before, and may take seconds now: the event loop goes on. */
export async function openConnectionInThread(
  options: ConnectionOptions,
  roots: Roots | undefined,
): Promise<Connection> {
  const { keyGenerationDeadlineMs: limitMs, onHang } = options;
  return connect(options, await openModuleInThread(options, roots, { limitMs, onHang }));
}

/** Makes of an opened module what operations need. */
function connect(
  options: ConnectionOptions,
  { token, capabilities, rootKeys, isSlow }: OpenedModule,
): Connection {
  const { onHang } = options;
  const { takesTurns, isSoftware } = token.facts;
  const calls = new NativeCalls({ deadlineMs: options.operationDeadlineMs, onHang, takesTurns });
  const threads = isSlow ? openThreads(options, token, capabilities) : undefined;
  const pool = new SessionPool<OperationSession>({
    open:
      threads === undefined
        ? () =>
            inlineSession({
              session: token.openSession(),
              keeper: () => token.loginSession,
              calls,
              capabilities,
              isSoftware,
              keyGenerationDeadlineMs: options.keyGenerationDeadlineMs,
            })
        : () => threads.open(),
    size: takesTurns ? 1 : sessionsOf(options, token, isSlow),
    waitMs: options.leaseWaitMs,
    waitingLimit: options.waitingLimit,
    opensAhead: isSlow,
    inRounds: !isSlow,
  });
  // One call at a time on the keeper's session; a thread has a keeper of its own.
  const keeperTurns = new Turns(options.waitingLimit);
  const inTurn: Loading['inTurn'] = isSlow ? (load) => load() : (load) => keeperTurns.take(load);
  const probe = new TokenProbe(() => isWell(connection));
  const connection: Connection = {
    token,
    pool,
    capabilities,
    isSlow,
    rootKeys,
    loaded: new LoadedKeys(
      {
        verifySeal: (material) => verifySeal(connection, material),
        load: (material, part) => loadKey({ connection, inTurn }, material, part),
        keyAt: (handle) =>
          new graphene.Key(unpackBytes(handle), token.loginSession, token.loginSession.lib),
        // In a lease like every call; a key that can't be destroyed has gone with its session or its library.
        destroy: (key) => {
          pool.withSession((lane) => lane.run('destroy', key)).catch(() => undefined);
        },
      },
      options.loadedKeys,
    ),
    isWell: () => probe.isWell(),
    mac: (data) => pool.withSession((lane) => lane.run('mac', requireRootKeys(connection), data)),
    close: async () => {
      const closed = pool.close();
      connection.loaded.clear();
      await Promise.race([closed, delay(CLOSE_LIMIT_MS, undefined, { ref: false })]);
      if (threads === undefined) {
        token.close();
        return;
      }
      await threads.ended(CLOSE_LIMIT_MS);
      await closeModuleInThread(token, options.module, { limitMs: CLOSE_LIMIT_MS, onHang });
    },
  };
  return connection;
}

/** In a process that takes what its HSM gives: each is a thread of some 13 MB where the module is slow. */
const SLOW_SESSIONS = 8;

function sessionsOf(
  { sessions }: ConnectionOptions,
  { facts: { sessionLimit = Number.POSITIVE_INFINITY } }: Token,
  isSlow: boolean,
): number {
  const free = sessionLimit - SESSIONS_KEPT_FREE;
  // A thread has two: one that is worked on, and one that owns what was loaded there.
  if (isSlow) return Math.max(1, Math.min(sessions ?? SLOW_SESSIONS, Math.floor(free / 2)));
  // More sessions than libuv has threads that can use them only wait in the driver.
  return Math.max(1, Math.min(sessions ?? Math.max(4, 2 * availableParallelism()), free));
}

function openThreads(
  options: ConnectionOptions,
  token: Token,
  capabilities: Capabilities,
): HsmWorkers {
  return new HsmWorkers({
    module: options.module,
    slot: Uint8Array.from(token.slot.handle),
    isSoftware: token.facts.isSoftware,
    capabilities,
    session: token.loginSession,
    deadlineMs: options.operationDeadlineMs,
    keyGenerationDeadlineMs: options.keyGenerationDeadlineMs,
    onHang: options.onHang,
  });
}

const PROBED = Buffer.from('strongroom token probe 1');

/**
 * An HMAC by a root key, which is in the token itself. Sessions that lay idle may be gone while the token is well: each
 * that fails is replaced, so that at last a fresh one is asked.
 */
async function isWell({ pool, rootKeys, token, isSlow }: Connection): Promise<boolean> {
  for (let tries = pool.status.open + 1; tries > 0; tries -= 1)
    try {
      await pool.withSession(async (lane) => {
        // The login and what is loaded hang on it; a thread sees to its own.
        if (!isSlow) token.loginSession.lib.C_GetSessionInfo(token.loginSession.handle);
        if (rootKeys === undefined) await lane.run('random', 16);
        else await lane.run('mac', rootKeys, PROBED);
      });
      return true;
    } catch (error) {
      // Whoever holds all sessions finds out by himself.
      if (error instanceof ServiceError && error.code === 'HsmBusy') return true;
      if (faultOf(error) === undefined) return false;
    }
  return false;
}

export function requireRootKeys({ rootKeys }: Pick<Connection, 'rootKeys'>): RootKeys {
  if (rootKeys === undefined)
    throw new ServiceError('HsmUnavailable', 'The root keys of this pool are not in the HSM.');
  return rootKeys;
}

/** Verified inside the HSM. @throws ServiceError KeyIntegrityViolation */
async function verifySeal(connection: Connection, material: KeyMaterial): Promise<void> {
  const { sealed, identity } = material;
  const roots = requireRootKeys(connection);
  const data = sealedBytes(material, sealed);
  const seal = unpackBytes(sealed.seal);
  const isIntact =
    roots.generation === sealed.rootGeneration &&
    seal.length === 32 &&
    (await connection.pool.withSession(
      (lane) => lane.run('verifyMac', roots, data, seal),
      identity.name,
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

interface Loading {
  readonly connection: Connection;
  readonly inTurn: (load: () => Promise<Key>) => Promise<Key>;
}

async function loadKey(
  { connection, inTurn }: Loading,
  { identity, spec, publicKey, sealed }: KeyMaterial,
  part: KeyPart,
): Promise<Key> {
  const { pool } = connection;
  if (part === 'public') {
    if (publicKey === undefined) throw brokenSeal(identity);
    return pool.withSession((lane) => lane.run('loadPublic', spec, publicKey), identity.name);
  }
  const blob = part === 'private' ? sealed.blob : sealed.macBlob;
  if (blob === undefined) throw brokenSeal(identity);
  const roots = requireRootKeys(connection);
  try {
    // The keeper owns what is loaded. The lease keeps the call apart from others where the module needs that.
    return await pool.withSession(
      (lane) => inTurn(() => lane.run('load', roots, identity, spec, part, unpackBytes(blob))),
      identity.name,
    );
  } catch (error) {
    // The seal was right, so these bytes were wrapped by a root key of this generation: the HSM holds another one.
    if (returnValue(error)?.startsWith('CKR_WRAPPED_KEY_') === true)
      throw brokenSeal(identity, error);
    throw error;
  }
}
