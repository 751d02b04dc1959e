import type { Logger } from 'pino';
import type { KeyKeeping } from '../core/keys/key-keeping.ts';
import { OperatorError } from '../core/operator-error.ts';
import {
  openPkcs11Hsm,
  openPkcs11HsmInThread,
  type Pkcs11Hsm,
  type Pkcs11Options,
} from '../hsm/pkcs11-hsm.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import { LIMITS } from './limits.ts';
import type { ServiceSettings } from './service/settings.ts';

type HsmSettings = Pick<ServiceSettings, 'pkcs11' | 'sessions' | 'loadedKeys' | 'tried'>;

interface Hanging {
  readonly onHang?: ((operation: string) => void) | undefined;
  readonly usesThreads?: boolean;
}

/** Opens the module with this service's limits and log. */
export function openHsm(
  settings: HsmSettings,
  keeping: KeyKeeping,
  log: Logger,
  hanging: Hanging = {},
): Pkcs11Hsm {
  return openPkcs11Hsm(optionsOf(settings, keeping, log, hanging));
}

/** The same beside pools that are served: they don't wait for it. */
export function openHsmBeside(
  settings: HsmSettings,
  keeping: KeyKeeping,
  log: Logger,
  hanging: Hanging,
): Promise<Pkcs11Hsm> {
  return openPkcs11HsmInThread(optionsOf(settings, keeping, log, hanging));
}

function optionsOf(
  { pkcs11, sessions, loadedKeys = LIMITS.loadedKeys, tried }: HsmSettings,
  keeping: KeyKeeping,
  log: Logger,
  { onHang = () => undefined, usesThreads = false }: Hanging,
): Pkcs11Options {
  return {
    ...pkcs11,
    keeping,
    tried,
    ...(sessions !== undefined && { sessions }),
    leaseWaitMs: LIMITS.leaseWaitMs,
    reconnectWaitMs: LIMITS.reconnectWaitMs,
    waitingLimit: LIMITS.waitingOperations,
    loadedKeys,
    operationDeadlineMs: LIMITS.operationDeadlineMs,
    keyGenerationDeadlineMs: LIMITS.keyGenerationDeadlineMs,
    onHang,
    usesThreads,
    log: (level, message, details) => {
      log[level](details ?? {}, message);
    },
  };
}

/** @returns how the pool keeps its keys @throws OperatorError where a setting says otherwise */
export function requireKeeping(
  { name, keeping }: Pick<Pool, 'name' | 'keeping'>,
  wanted: KeyKeeping | undefined,
): KeyKeeping {
  if (wanted !== undefined && wanted !== keeping)
    throw new OperatorError(
      `The keys of the pool "${name}" (STRONGROOM_POOL) are ${keeping}, which was fixed when it was made: they can't become ${wanted} (--keys, STRONGROOM_KEYS).`,
    );
  return keeping;
}

/** Before anything is made of a pool that could not sign its own tokens. @throws OperatorError */
export async function requireSigningKeys(hsm: Pick<Pkcs11Hsm, 'offer' | 'keeping'>): Promise<void> {
  const { module, keys } = await hsm.offer();
  const kind = keys.find((one) => one.keyType === 'RSA-HSM' && one.bits === 2048);
  if (kind?.lack !== undefined)
    throw new OperatorError(
      `PKCS11_MODULE: a pool keeps RSA keys of its own, with which it signs tokens, and ${module} can't: it fails at ${kind.lack}. ${hsm.keeping === 'sealed' ? '`strongroom bootstrap --keys resident` makes a new pool, whose keys stay in the HSM; ' : ''}\`strongroom doctor\` says what else it lacks.`,
    );
}

/**
 * The token must hold this pool's own root keys, not merely keys of their name.
 * @throws OperatorError where it doesn't
 */
export async function openRootKeys(hsm: Pkcs11Hsm, pool: Pool): Promise<void> {
  if (!hsm.openRootKeys(pool.id, pool.rootGeneration)) {
    const others = await hsm.listRootGenerations();
    const instead =
      others.length === 0 ? '' : ` It holds generation ${others.join(', ')} of them instead.`;
    throw new OperatorError(
      `The token (PKCS11_TOKEN_LABEL) does not hold the root keys of the pool "${pool.name}" (STRONGROOM_POOL), generation ${pool.rootGeneration}: its keys can't be opened.${instead}`,
    );
  }
  if (!Buffer.from(await hsm.rootCheck(pool.id)).equals(pool.rootCheck))
    throw new OperatorError(
      `The token (PKCS11_TOKEN_LABEL) holds other root keys than those of the pool "${pool.name}" (STRONGROOM_POOL).`,
    );
}

/** What openHsm is told of the module by settings that have more. */
export function hsmOf({
  pkcs11,
  tried,
}: Pick<ServiceSettings, 'pkcs11' | 'tried'>): Pick<ServiceSettings, 'pkcs11' | 'tried'> {
  return { pkcs11, ...(tried !== undefined && { tried }) };
}
