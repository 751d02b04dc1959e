import { type AuditEvent } from './audit.ts';
import { type ChainHead, type LinkedRecord, type SignableHead } from './audit-chain.ts';
import { type Checkpoint } from './audit-checkpoint.ts';

/** The signed statements of how far chains go. */
export interface CheckpointStore {
  /**
   * Adds the next one: `make` sees the newest that is there. Processes take turns.
   * @param heads of which it speaks
   */
  append(
    heads: readonly SignableHead[],
    isRetention: boolean,
    make: (newest: Checkpoint | undefined) => Promise<Checkpoint>,
  ): Promise<Checkpoint>;
  /** Chains that nobody has ended, and to which nothing was added since `before`. */
  listAbandoned(before: Date, limit: number): Promise<readonly ChainHead[]>;
}

/** The trail as it is verified. */
export interface TrailReader {
  /** By number, those after `after`. */
  listCheckpoints(page: {
    readonly after: number;
    readonly limit: number;
  }): Promise<readonly Checkpoint[]>;
  /** Those that speak of what was taken away, by number. */
  listRetentions(): Promise<readonly Checkpoint[]>;
  /** The last one made at that time or before. */
  lastCheckpointAt(time: Date): Promise<number | undefined>;
  /** The last one up to `number` that speaks of the chain. */
  lastMention(chain: string, number: number): Promise<Checkpoint | undefined>;
  /** Every chain of which there are records, whether it was announced or not. */
  listChains(): Promise<readonly string[]>;
  /** The sequence of the chain's last record; 0 where there is none. */
  chainEnd(chain: string): Promise<number>;
  /** In order, those with `after` < sequence <= `upTo`; `limit` at most. */
  readChain(
    chain: string,
    range: { readonly after: number; readonly upTo: number; readonly limit: number },
  ): Promise<readonly LinkedRecord[]>;
}

/** How far the trail has been read: all of the chains numbered up to `done`, and of others up to a sequence. */
export interface TrailPosition {
  readonly done: number;
  readonly at: ReadonlyMap<number, number>;
}

export interface TrailFollower {
  /** Where the trail ends now. */
  end(): Promise<TrailPosition>;
  /** What has come since, oldest first, each with the position after it. */
  read(
    position: TrailPosition,
    limit: number,
  ): Promise<readonly { readonly event: AuditEvent; readonly position: TrailPosition }[]>;
}
