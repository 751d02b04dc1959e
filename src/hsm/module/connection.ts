import { setTimeout as delay } from 'node:timers/promises';
import { ServiceError } from '../../core/errors.ts';
import type { KeyMaterial } from '../../core/keys/key.ts';
import { unpackBytes } from '../../core/keys/packed-bytes.ts';
import type { Handle } from './calls.ts';
import type { Capabilities } from '../capabilities/capabilities.ts';
import type { TriedModule } from '../capabilities/tried-module.ts';
import type { Dispatcher } from './dispatcher.ts';
import { faultOf } from './errors.ts';
import { returnValue } from './return-values.ts';
import { type KeyPart, LoadedKeys } from '../keys/loaded-keys.ts';
import {
  endInThread,
  type ModuleOptions,
  type OpenedModule,
  openModule,
  openModuleInThread,
  type Roots,
} from './open-module.ts';
import { withoutOpenSslErrors } from './openssl-errors.ts';
import type { RootKeys } from '../keys/root-keys.ts';
import { BACKUP_GENERATION } from '../keys/backup-keys.ts';
import { Generations } from '../keys/generations.ts';
import { brokenSeal, sealedBytes } from '../keys/seal.ts';
import { keepingOf } from '../keys/keeping/keepings.ts';
import { sharedLibrary } from './shared-library.ts';
import { openSessions, type SessionOptions } from './sessions.ts';
import { TokenProbe } from './token-probe.ts';
import type { Token } from './token.ts';

export interface ConnectionOptions extends ModuleOptions, SessionOptions {
  /** Key versions loaded at most. */
  readonly loadedKeys: number;
}

/** All that hangs on one initialisation of the library and one login: after a lost device it is made anew, whole. */
export interface Connection {
  readonly token: Token;
  readonly dispatcher: Dispatcher;
  readonly capabilities: Capabilities;
  readonly loaded: LoadedKeys;
  /** The module is too slow for the event loop to wait for. */
  readonly isSlow: boolean;
  /** Those by which new keys are sealed. */
  rootKeys: RootKeys | undefined;
  /** The others, which are looked for when something is sealed by them. */
  readonly generations: Generations;
  /** Whether the token still does its work; asked where something failed for a reason that may be this. */
  isWell(): Promise<boolean>;
  /** HMAC-SHA256 by `root-seal`, of the current root keys where no others are named. */
  mac(data: Buffer, rootKeys?: RootKeys): Promise<Buffer>;
  /** Waits for calls under way, within a limit: a library that is finalised under one crashes the process. */
  close(): Promise<void>;
}

const CLOSE_LIMIT_MS = 5_000;

/** The event loop waits meanwhile. @param tried see openModule */
export function openConnection(
  options: ConnectionOptions,
  roots: Roots | undefined,
  tried?: TriedModule,
): Connection {
  return connect(
    options,
    withoutOpenSslErrors(() => openModule(options, roots, tried)),
  );
}

/**
 * For a module that was slow before, or may be, and may take seconds now: the event loop goes on.
 * @param onHang is told of an opening that hangs; else as one of an operation
 */
export async function openConnectionInThread(
  options: ConnectionOptions,
  roots: Roots | undefined,
  tried?: TriedModule,
  onHang = options.onHang,
): Promise<Connection> {
  const { keyGenerationDeadlineMs: limitMs } = options;
  // Where one thread calls a module, it is this one, unless it is slow.
  if (sharedLibrary(options).isThreadSafe === false) return openConnection(options, roots, tried);
  const patience = { limitMs, onHang };
  const opened = await openModuleInThread(options, roots, patience, tried);
  const { facts, use } = opened.token;
  if (facts.isThreadSafe || opened.isSlow) return connect(options, opened);
  await endInThread(use, options.module, patience);
  return openConnection(options, roots, tried);
}

/** Makes of an opened module what operations need. */
function connect(options: ConnectionOptions, opened: OpenedModule): Connection {
  const { token, capabilities, rootKeys } = opened;
  const isSlow = opened.isSlow && options.usesThreads === true;
  const { threads } = sharedLibrary(options);
  const sessions = openSessions(options, { ...opened, isSlow }, threads);
  const { dispatcher } = sessions;
  const { destroysLoaded } = keepingOf(options.keeping ?? 'sealed');
  const probe = new TokenProbe(() => isWell(connection));
  const connection: Connection = {
    token,
    dispatcher,
    capabilities,
    isSlow,
    rootKeys,
    generations: new Generations((poolId, generation) =>
      dispatcher.run('findRootKeys', [poolId, generation]),
    ),
    loaded: new LoadedKeys(
      {
        verifySeal: (material) => verifySeal(connection, material),
        load: (material, part) => loadKey(connection, material, part),
        // A key that can't be destroyed has gone with its session or its library.
        giveUp: (key, part) => {
          if (part === 'public' || destroysLoaded)
            dispatcher.run('destroy', [key]).catch(() => undefined);
        },
      },
      options.loadedKeys,
    ),
    isWell: () => probe.isWell(),
    mac: (data, by = requireRootKeys(connection)) => dispatcher.run('mac', [by, data]),
    close: async () => {
      const closed = dispatcher.close();
      connection.loaded.clear();
      const limit = delay(CLOSE_LIMIT_MS, undefined, { ref: false });
      await Promise.race([closed.then(() => sessions.leaveThreads()), limit]);
      if (isSlow) {
        const patience = { limitMs: CLOSE_LIMIT_MS, onHang: options.onHang };
        await endInThread(token.use, options.module, patience);
      } else
        withoutOpenSslErrors(() => {
          token.close();
        });
    },
  };
  return connection;
}

const PROBED = Buffer.from('strongroom token probe 1');

/**
 * An HMAC by a root key, which is in the token itself. Sessions that lay idle may be gone while the token is well: each
 * that fails is replaced, so that at last a fresh one is asked.
 */
async function isWell({ dispatcher, rootKeys, token, isSlow }: Connection): Promise<boolean> {
  for (let tries = dispatcher.status.open + 1; tries > 0; tries -= 1)
    try {
      // The login and what is loaded hang on it; a thread sees to its own.
      if (!isSlow) requireSession(token.loginSession);
      if (rootKeys === undefined) await dispatcher.run('random', [16]);
      else await dispatcher.run('mac', [rootKeys, PROBED]);
      return true;
    } catch (error) {
      // Whoever holds all sessions finds out by himself.
      if (error instanceof ServiceError && error.code === 'HsmBusy') return true;
      if (faultOf(error) === undefined) return false;
    }
  return false;
}

/** @throws Error of the binding when the session is gone */
function requireSession({ lib, handle }: Token['loginSession']): void {
  withoutOpenSslErrors(() => lib.C_GetSessionInfo(handle));
}

export function requireRootKeys({ rootKeys }: Pick<Connection, 'rootKeys'>): RootKeys {
  if (rootKeys === undefined)
    throw new ServiceError('HsmUnavailable', 'The root keys of this pool are not in the HSM.');
  return rootKeys;
}

/**
 * The root keys of a generation, of the pool of now or of another.
 * @throws ServiceError HsmUnavailable where the token doesn't hold them
 */
export async function requireGeneration(
  connection: Pick<Connection, 'rootKeys' | 'generations'>,
  generation: number,
  poolId?: string,
): Promise<RootKeys> {
  const { poolId: current } = requireRootKeys(connection);
  const found = await findGeneration(connection, generation, poolId ?? current);
  if (found === undefined) throw lacking(generation);
  return found;
}

/** Here: another process that serves the pool may have an HSM that holds them. */
function lacking(generation: number): ServiceError {
  return new ServiceError(
    'HsmUnavailable',
    `The HSM here does not hold the root keys of generation ${generation}, by which this is sealed.`,
  );
}

/** Undefined where the token doesn't hold them. */
function findGeneration(
  connection: Pick<Connection, 'rootKeys' | 'generations'>,
  generation: number,
  poolId: string,
): RootKeys | Promise<RootKeys | undefined> {
  const current = requireRootKeys(connection);
  return current.generation === generation && current.poolId === poolId
    ? current
    : connection.generations.find(poolId, generation);
}

/** Verified inside the HSM. @throws ServiceError KeyIntegrityViolation, HsmUnavailable where the token lacks what has sealed it */
async function verifySeal(connection: Connection, material: KeyMaterial): Promise<void> {
  const { sealed, identity } = material;
  const { rootGeneration } = sealed;
  const roots = await findGeneration(connection, rootGeneration, identity.pool);
  // Backup keys have no generation, and another pool's keys are none of this one's.
  const isOwn = identity.pool === requireRootKeys(connection).poolId;
  if (roots === undefined && isOwn && rootGeneration !== BACKUP_GENERATION)
    throw lacking(rootGeneration);
  const data = sealedBytes(material, sealed);
  const seal = unpackBytes(sealed.seal);
  const isIntact =
    roots !== undefined &&
    seal.length === 32 &&
    (await connection.dispatcher.run('verifyMac', [roots, data, seal], identity.name));
  if (!isIntact) throw brokenSeal(identity);
}

async function loadKey(
  connection: Connection,
  { identity, spec, publicKey, sealed }: KeyMaterial,
  part: KeyPart,
): Promise<Handle> {
  const { dispatcher } = connection;
  if (part === 'public') {
    if (publicKey === undefined) throw brokenSeal(identity);
    return dispatcher.run('loadPublic', [spec, publicKey], identity.name);
  }
  const blob = part === 'private' ? sealed.blob : sealed.macBlob;
  if (blob === undefined) throw brokenSeal(identity);
  const roots = await requireGeneration(connection, sealed.rootGeneration, identity.pool);
  try {
    const input = [roots, identity, spec, part, unpackBytes(blob), publicKey] as const;
    return await dispatcher.run('load', [...input], identity.name);
  } catch (error) {
    // The seal was right, so these bytes were wrapped by a root key of this generation: the HSM holds another one.
    if (returnValue(error)?.startsWith('CKR_WRAPPED_KEY_') === true)
      throw brokenSeal(identity, error);
    throw error;
  }
}
