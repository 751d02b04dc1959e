import { setTimeout as delay } from 'node:timers/promises';
import { OperatorError } from '../../operator-error.ts';
import { type ReplicaStore, SILENT_AFTER_MS } from '../../pool/replicas.ts';

/** Root keys that are to become a pool's. */
export interface RootKeyOffer {
  readonly generation: number;
  /** 32 bytes that only they give. */
  readonly rootCheck: Uint8Array;
}

export interface RootKeyOfferStore {
  find(): Promise<RootKeyOffer | undefined>;
  put(offer: RootKeyOffer): Promise<void>;
  remove(): Promise<void>;
}

export interface AgreementParts {
  readonly offers: RootKeyOfferStore;
  readonly replicas: Pick<ReplicaStore, 'list'>;
  /** How long replicas may take to say that they hold them. */
  readonly limitMs: number;
}

const ASK_AGAIN_MS = 500;
export const PROCESSES_AT_MOST = 10_000;

/**
 * Waits until each process that serves the pool has said that its HSM holds new root keys: whichever lacked them when they
 * become the current ones could serve nothing any more.
 * @throws OperatorError with the names of replicas that don't hold them
 */
export async function requireHeldByAll(offer: RootKeyOffer, parts: AgreementParts): Promise<void> {
  const deadline = performance.now() + parts.limitMs;
  await parts.offers.put(offer);
  try {
    for (;;) {
      const live = (await parts.replicas.list(PROCESSES_AT_MOST)).filter(
        ({ silentMs }) => silentMs <= SILENT_AFTER_MS,
      );
      const lacking = live.filter(
        ({ rootGenerations }) => !rootGenerations.includes(offer.generation),
      );
      if (lacking.length === 0) return;
      if (performance.now() >= deadline) {
        const names = [...new Set(lacking.map(({ replica }) => replica.name))].join(', ');
        throw new OperatorError(
          `New root keys would put out of service what serves with another HSM, which does not hold them: ${names}. Download a new security domain and restore it there instead, or stop what is there for the time being; the pool keeps the root keys that it has.`,
        );
      }
      await delay(ASK_AGAIN_MS);
    }
  } finally {
    await parts.offers.remove();
  }
}
