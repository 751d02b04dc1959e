import type { Hsm, HsmFeatures, KeyImporter } from '../core/keys/hsm.ts';
import type { KeyRelease } from '../core/release/key-release.ts';
import type { BlobHead } from '../core/keys/blob-head.ts';
import type { KeyInspector } from '../core/release/key-inspection.ts';
import type { HsmObjects } from '../core/keys/objects/ports.ts';
import type { SecureWrapper } from '../core/release/secure-wrap.ts';
import { offerOf } from './capabilities/offer.ts';
import { makesMlDsa } from './capabilities/refusals.ts';
import { type TriedModule, triedModule } from './capabilities/tried-module.ts';
import { KeyCalls } from './key-calls.ts';
import { createObjectCalls } from './keys/keeping/object-calls.ts';
import { createKeyExits } from './keys/key-exits.ts';
import { KeyGenerator } from './keys/key-generator.ts';
import { publicHalfMatches } from './keys/key-inspection.ts';
import { KeyMaker } from './keys/key-maker.ts';
import { createRootKeys, findRootKeys } from './keys/root-keys.ts';
import { createRootKeyCalls, type RootKeyCalls } from './keys/root-key-calls.ts';
import { rootCheckBytes } from './keys/seal.ts';
import { whyNotOpened } from './keys/sealed-blob.ts';
import {
  type Connection,
  type ConnectionOptions,
  openConnection,
  openConnectionInThread,
} from './module/connection.ts';
import { hsmUnavailable } from './module/errors.ts';
import { LiveConnection } from './module/live-connection.ts';
import type { Roots } from './module/open-module.ts';
import { type Member, sharedLibrary } from './module/shared-library.ts';
import { withoutOpenSslErrors } from './module/openssl-errors.ts';
import { openPatiently } from './module/patience.ts';

type Log = (level: 'info' | 'warn' | 'error', message: string, details?: object) => void;

export interface Pkcs11Options extends ConnectionOptions {
  /** How long an operation waits for a connection that is being restored. */
  readonly reconnectWaitMs: number;
  readonly log: Log;
  /** By another opening of the same start: the same isn't tried again before the HSM is lost. */
  readonly tried?: TriedModule | undefined;
}

export interface Pkcs11Hsm
  extends
    Hsm,
    HsmFeatures,
    HsmObjects,
    KeyImporter,
    KeyRelease,
    KeyInspector,
    RootKeyCalls,
    SecureWrapper {
  /** Manufacturer and library. */
  readonly description: string;
  /** What was found out by trying, for other openings of the same start. */
  readonly tried: TriedModule;
  /** False where the token has none for this pool. They are looked for once, here. */
  openRootKeys(poolId: string, generation: number): boolean;
  /** Makes them in the HSM. The caller has seen openRootKeys answer false, and lets nobody else do the same meanwhile. */
  createRootKeys(poolId: string, generation: number): void;
  /** 32 bytes that only this pool's root keys give: kept in the store, they tell another token from this one. */
  rootCheck(poolId: string): Promise<Uint8Array>;
  /** Why keys whose blobs begin so can't be opened, for a sentence of the operator's; undefined where they can. */
  whyNotOpened(head: BlobHead): string | undefined;
  readonly isReady: boolean;
  readonly status: {
    readonly open: number;
    readonly inUse: number;
    readonly waiting: number;
    readonly loaded: number;
    readonly loads: number;
  };
  close(): Promise<void>;
}

const GENERATOR_IDLE_MS = 60_000;

/** Opens the module and logs in; the thread waits. @throws Error with a sentence for the operator */
export function openPkcs11Hsm(options: Pkcs11Options): Pkcs11Hsm {
  return hsmOn(
    openPatiently(() => openConnection(options, undefined, options.tried)),
    options,
  );
}

/**
 * The same in a thread of its own, while this process serves other pools: an HSM that is slow, away or hangs costs them nothing.
 * @throws OperatorError; PinRefusedError where another attempt would come to the same
 */
export async function openPkcs11HsmInThread(options: Pkcs11Options): Promise<Pkcs11Hsm> {
  const onHang = (operation: string) => {
    options.log('error', 'the HSM did not answer in time', { operation });
  };
  const open = () => openConnectionInThread(options, undefined, options.tried, onHang);
  return hsmOn(await sharedLibrary(options).open(options, open), options);
}

function hsmOn(first: Connection, options: Pkcs11Options): Pkcs11Hsm {
  const { keeping = 'sealed' } = options;
  let roots: Roots | undefined;
  const { facts } = first.token;
  /** As they were found out when the module was opened last. */
  let { capabilities } = first;
  const library = sharedLibrary(options);
  const live = new LiveConnection(first, {
    waitMs: options.reconnectWaitMs,
    waitingLimit: options.waitingLimit,
    log: options.log,
    async reconnect(lost) {
      const open = () => (lost.isSlow ? openConnectionInThread : openConnection)(options, roots);
      const fresh = await library.open(options, open, member);
      ({ capabilities } = fresh);
      return fresh;
    },
  });
  const member: Member = {
    async check() {
      const { current } = live;
      if (current !== undefined && !(await current.isWell())) live.lose(current);
      await live.closed;
    },
    renew: () => {
      live.renew();
    },
  };
  const leave = library.join(member);
  // Where one thread calls the module, a key that takes seconds to make would hold up every other call.
  const generator =
    options.usesThreads === true && !facts.isThreadSafe
      ? new KeyGenerator({
          ...options,
          deadlineMs: options.keyGenerationDeadlineMs,
          idleMs: () => (library.isShared ? 0 : GENERATOR_IDLE_MS),
          onEnd: (reason) => {
            options.log('error', 'the process that makes keys is replaced', { reason });
          },
        })
      : undefined;
  if (first.isSlow)
    options.log('info', 'the HSM is slow: it is waited for in threads of their own', {
      number: first.dispatcher.status.open,
    });

  const calls = new KeyCalls(live);
  const rootKeyCalls = createRootKeyCalls({
    calls,
    live,
    roots: () => roots,
    setRoots: (changed) => {
      roots = changed;
    },
    log: options.log,
  });
  const keys = new KeyMaker({
    rewrap: (material) => rootKeyCalls.rewrap(material, 'current'),
    calls,
    live,
    generator,
    capabilities: () => capabilities,
    roots: () => roots,
    turns: library.generations,
  });

  function connected(): Connection {
    if (live.current === undefined) throw hsmUnavailable(undefined);
    return live.current;
  }

  return {
    keeping,
    description: facts.description,
    get tried() {
      return triedModule(facts, options, capabilities);
    },
    ...createKeyExits(calls),
    encrypt: calls.encrypt.bind(calls),
    decrypt: calls.decrypt.bind(calls),
    sign: calls.sign.bind(calls),
    verify: calls.verify.bind(calls),
    random: calls.random.bind(calls),
    generateKey: keys.generateKey.bind(keys),
    reseal: (key, identity) => keys.reseal(key, identity),
    importKey: keys.importKey.bind(keys),
    importTransferred: keys.importTransferred.bind(keys),
    ...createObjectCalls(calls, () => roots),

    get hasMlDsa() {
      return makesMlDsa(capabilities);
    },

    offer: () => calls.attempt((on) => Promise.resolve(offerOf(on.capabilities)), true),

    openRootKeys(poolId, rootGeneration) {
      roots = { poolId, generation: rootGeneration, keeping };
      const on = connected();
      on.rootKeys = withoutOpenSslErrors(() =>
        findRootKeys(on.token.loginSession, poolId, rootGeneration, keeping),
      );
      return on.rootKeys !== undefined;
    },

    createRootKeys(poolId, rootGeneration) {
      const on = connected();
      on.rootKeys = withoutOpenSslErrors(() =>
        createRootKeys(on.token.loginSession, poolId, rootGeneration, keeping),
      );
      roots = { poolId, generation: rootGeneration, keeping };
    },

    ...rootKeyCalls,
    get backupPairs() {
      return rootKeyCalls.backupPairs;
    },
    get openablePairs() {
      return rootKeyCalls.openablePairs;
    },

    rootCheck: (poolId) => calls.attempt((on) => on.mac(rootCheckBytes(poolId)), true),

    async inspect(material) {
      const object = await calls.withKey(material, 'private', (on, key) =>
        on.dispatcher.run('describe', [key], material.identity.name),
      );
      const inspected = { object, module: facts.module };
      if (material.publicKey === undefined) return inspected;
      return { ...inspected, publicHalfMatches: await publicHalfMatches(calls, material) };
    },

    whyNotOpened: (head) => whyNotOpened(head, capabilities),

    get isReady() {
      return live.current?.rootKeys !== undefined;
    },
    get status() {
      const none = { open: 0, inUse: 0, waiting: 0, loaded: 0, loads: 0 };
      const { current } = live;
      return current === undefined
        ? none
        : { ...current.dispatcher.status, ...current.loaded.status };
    },
    async close() {
      leave();
      generator?.close();
      await live.close();
    },
  };
}
