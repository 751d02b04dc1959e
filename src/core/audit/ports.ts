import type { AuditEvent, AuditFilter, AuditRecord } from './record.ts';
import type { ChainHead, LinkedRecord, SignableHead } from './chain.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { Witness } from './witness.ts';
import type { Page, PageRequest } from '../paging.ts';

/** The signed checkpoints: how far chains go. */
export interface CheckpointStore {
  /** The one with the highest number. */
  findNewest(): Promise<Checkpoint | undefined>;
  /**
   * Adds one. False, and nothing is written, where another process has taken its number.
   * @param heads of which it speaks
   */
  append(
    checkpoint: Checkpoint,
    heads: readonly SignableHead[],
    isRetention: boolean,
  ): Promise<boolean>;
  /**
   * How far chains go that nobody has ended, and that have records from before `unsignedBefore` which no checkpoint
   * covers. Those to which nothing was added since `abandonedBefore` are to end, covered or not.
   */
  listUnsigned(
    limits: { readonly unsignedBefore: Date; readonly abandonedBefore: Date },
    limit: number,
  ): Promise<readonly SignableHead[]>;
}

/** The audit log as it is verified. */
export interface AuditLogReader {
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
  /** Every chain of which there are records, whether it is listed or not. */
  listChains(): Promise<readonly string[]>;
  /** A record that claims a place before the first of its chain. */
  findBeforeStart(): Promise<LinkedRecord | undefined>;
  /** A record of one of these chains at its head or before it; undefined where none is left. */
  findUpTo(heads: readonly ChainHead[]): Promise<LinkedRecord | undefined>;
  /** The sequence of the chain's last record; 0 where there is none. */
  chainEnd(chain: string): Promise<number>;
  /** In order, those with `after` < sequence <= `upTo`; `limit` at most. */
  readChain(
    chain: string,
    range: { readonly after: number; readonly upTo: number; readonly limit: number },
  ): Promise<readonly LinkedRecord[]>;
}

/**
 * How far the audit log has been read: of the chains in `at` up to a sequence, of others that are numbered up to `done` to
 * their ends, and nothing of those that come later.
 */
export interface LogPosition {
  readonly done: number;
  readonly at: ReadonlyMap<number, number>;
}

export interface LogFollower {
  /** Where the audit log ends now. */
  end(): Promise<LogPosition>;
  /** What has come since, oldest first, each with the position after it. */
  read(
    position: LogPosition,
    limit: number,
  ): Promise<readonly { readonly event: AuditEvent; readonly position: LogPosition }[]>;
  /** The same position, without the chains that have ended and are read to their ends: it would grow for ever. */
  shorten(position: LogPosition): Promise<LogPosition>;
}

/** What the index over the records has of one row. */
export interface WitnessEntry extends Witness {
  readonly chain: string;
  readonly sequence: number;
  readonly time: Date;
}

/** The same, with what it takes to judge the row by it. */
export interface StateEntry extends WitnessEntry {
  /** No record witnesses a later state of the row. */
  readonly isNewest: boolean;
  /** The digest of the row as it is, where the entry is the newest; absent where there is no row. */
  readonly present?: string;
  /** A record of the place that it names says the same. */
  readonly isOnRecord: boolean;
  /** Of a row that an upgrade has found: it is the one upgrade from a version without witnesses. */
  readonly isFirst: boolean;
}

/** Code beside the tables that this version of the service has not put there. */
export interface AddedCode {
  readonly kind:
    'trigger added' | 'rule added' | 'row policy added' | 'table replaced' | 'function changed';
  /** Of the table, and of what was added to it; or of the function. */
  readonly name: string;
}

/** All that the index has of a table, and all of its rows. */
export interface SmallTable {
  /** In the order of rows, and of each in the order of its states. */
  readonly entries: readonly StateEntry[];
  /** In whatever order, and whether the index has them. */
  readonly rows: readonly { readonly row: string; readonly isKnown: boolean }[];
}

/** The rows that records witness, and the index over what those say of them. */
export interface StateReader {
  readonly tables: readonly string[];
  /** Whether that could be a row of that table. */
  isRow(table: string, row: string): boolean;
  /** What the index has of a chain's records with `after` < sequence <= `upTo`. */
  listIndexed(
    chain: string,
    range: { readonly after: number; readonly upTo: number; readonly limit: number },
  ): Promise<readonly WitnessEntry[]>;
  /** In the order of rows, and of each in the order of its states; all of one moment. */
  listEntries(
    table: string,
    after: WitnessEntry | Pick<WitnessEntry, 'row'>,
    limit: number,
  ): Promise<readonly StateEntry[]>;
  /** In the order of their primary keys, and whether the index has them; all of one moment. */
  listRows(
    table: string,
    after: string | undefined,
    limit: number,
  ): Promise<readonly { readonly row: string; readonly isKnown: boolean }[]>;
  /** Of these tables those that have no more than so many entries and rows; all of one moment. */
  listSmall(tables: readonly string[], limit: number): Promise<ReadonlyMap<string, SmallTable>>;
  /** Whether any entry says that the row was in that state. */
  hasBeen(table: string, row: string, digest: string): Promise<boolean>;
  /** With code of somebody else in between, neither what is read nor what the service's transactions write is sure. */
  findAddedCode(): Promise<AddedCode | undefined>;
  /** An entry that points past the end of its chain. */
  findStray(): Promise<WitnessEntry | undefined>;
}

export interface AuditLog {
  /** Resolves once the record is durable. @throws ServiceError AuditUnavailable */
  append(record: AuditRecord): Promise<void>;
  /**
   * For what is recorded after the fact, such as an answer that was withheld since its record could not be written: it is
   * written once that is possible again. Nobody waits for it; at the end of the process it is tried once more.
   */
  appendLater(record: AuditRecord): void;
}

export interface AuditReader {
  /** Newest first, unless the filter says otherwise. */
  listEvents(filter: AuditFilter, page: PageRequest): Promise<Page<AuditEvent>>;
}
