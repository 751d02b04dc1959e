import type { LinkedRecord } from '../chain.ts';
import { ServiceError } from '../../errors.ts';
import type {
  AddedCode,
  AuditLogReader,
  SmallTable,
  StateEntry,
  StateReader,
  WitnessEntry,
} from '../ports.ts';

/** A record, as it is named to whoever looks for it. */
export interface RecordReference extends Pick<LinkedRecord, 'chain' | 'sequence'> {
  readonly requestId?: string;
  readonly time?: Date;
  readonly operation?: string;
}

/** A row that isn't what the records say, or something else than the records in the index over them. */
export interface RowProblem {
  readonly kind:
    | 'row changed'
    | 'row put back'
    | 'row removed'
    | 'row inserted'
    | 'witness removed'
    | 'witness inserted';
  readonly table: string;
  readonly row: string;
  /** The newest one that says how the row should be; absent where none speaks of it. */
  readonly record?: RecordReference;
  /** A later one, whose change has come upon the row as it should not have been. */
  readonly seenBy?: RecordReference;
}

interface RowsVerification {
  /** Those that were held against the records. */
  readonly rows: number;
  readonly problem?: RowProblem | AddedCode;
  /** Where it ended early. */
  readonly next?: string;
}

export interface StateVerifierParts {
  readonly state: StateReader;
  readonly auditLog: Pick<AuditLogReader, 'readChain'>;
}

const PAGE = 500;
/** Entries and rows of a table that is read together with others, as most are: of all tables no more than a few pages. */
const SMALL = 50;

/**
 * Holds the store's rows against what the records witness. What links records to rows is an index that nobody signs:
 * it is held against the records while they are read, and only then are rows held against it.
 */
export function createStateVerifier({ state, auditLog }: StateVerifierParts) {
  const tables = state.tables;

  async function nameRecord({
    chain,
    sequence,
  }: Pick<LinkedRecord, 'chain' | 'sequence'>): Promise<RecordReference> {
    const range = { after: sequence - 1, upTo: sequence, limit: 1 };
    const [record] = await auditLog.readChain(chain, range);
    if (record === undefined) return { chain, sequence };
    const { requestId, time, operation } = record;
    return { chain, sequence, requestId, time, operation };
  }

  /** Of a row that is there in a state that it should not be in. */
  async function kindOf(entry: StateEntry, digest: string): Promise<RowProblem['kind']> {
    if (await state.hasBeen(entry.table, entry.row, digest)) return 'row put back';
    return entry.after === undefined ? 'row inserted' : 'row changed';
  }

  /** Where a verification begins later than the audit log does, only this finds what was put into the index before. */
  function checkOnRecord(entry: StateEntry): RowProblem | undefined {
    return entry.isOnRecord ? undefined : insertedProblem(entry);
  }

  /** Whether a change has found the row as the record before had left it. */
  async function checkHistory(
    entry: StateEntry,
    before: StateEntry | undefined,
  ): Promise<RowProblem | undefined> {
    const { table, row, found } = entry;
    const seen = found === undefined ? entry.before : entry.after;
    if (before === undefined) {
      const isAllowed =
        found === undefined ? seen === undefined : found === 'retention' || entry.isFirst;
      if (isAllowed) return undefined;
      return { kind: 'row inserted', table, row, seenBy: await nameRecord(entry) };
    }
    if (seen === before.after) return undefined;
    // What came between was verified, and taken away for its age.
    if (found === 'retention' && entry.revision > before.revision) return undefined;
    const kind = seen === undefined ? 'row removed' : await kindOf(before, seen);
    const [record, seenBy] = [await nameRecord(before), await nameRecord(entry)];
    return { kind, table, row, record, seenBy };
  }

  /** Whether the row is as its newest record says. */
  async function checkPresent(entry: StateEntry): Promise<RowProblem | undefined> {
    const { table, row, after, present } = entry;
    if (present === after) return undefined;
    const kind = present === undefined ? 'row removed' : await kindOf(entry, present);
    return { kind, table, row, record: await nameRecord(entry) };
  }

  return {
    /** Whether the index has what these records of a chain say, which follow on `after`, and nothing else. */
    async checkIndex(
      chain: string,
      after: number,
      records: readonly LinkedRecord[],
    ): Promise<RowProblem | undefined> {
      const upTo = records.at(-1)?.sequence ?? after;
      const said = records.flatMap(({ sequence, time, witnessed = [] }) =>
        witnessed.map((witness) => ({ ...witness, chain, sequence, time })),
      );
      const indexed = await state.listIndexed(chain, { after, upTo, limit: said.length + 1 });
      const have = new Set(indexed.map(textOf));
      const missing = said.find((witness) => !have.delete(textOf(witness)));
      const extra = indexed.find((witness) => have.has(textOf(witness)));
      const [kind, witness] =
        missing === undefined
          ? (['witness inserted', extra] as const)
          : (['witness removed', missing] as const);
      if (witness === undefined) return undefined;
      const { table, row } = witness;
      return { kind, table, row, record: await nameRecord(witness) };
    },

    /**
     * Of every row its history and its present state; then rows of which no record speaks. In pages, each of one moment:
     * who changes a row changes what is witnessed of it in the same transaction. Before them comes what could make rows of
     * the service's own transactions something else.
     * @param after where another one ended early
     * @param limit entries and rows that are looked at, roughly
     * @throws ServiceError BadParameter for what is no such place
     */
    async verifyRows(after: string | undefined, limit: number): Promise<RowsVerification> {
      const added = after === undefined ? await state.findAddedCode() : undefined;
      if (added !== undefined) return { rows: 0, problem: added };
      const stray = await state.findStray();
      if (stray !== undefined) return { rows: 0, problem: insertedProblem(stray) };
      const start = after === undefined ? undefined : readPlace(after, state);
      const work = { rows: 0, left: limit };
      const left = tables.slice(Math.max(0, tables.indexOf(start?.table ?? '')));
      const small = await state.listSmall(start === undefined ? left : left.slice(1), SMALL);
      for (const table of left) {
        const here = start?.table === table ? start : undefined;
        const pages = pagesOf(table, small.get(table));
        const ended =
          (here?.list === 'unwitnessed'
            ? undefined
            : await verifyEntries(pages, here?.row, work)) ??
          (await findUnwitnessed(pages, here?.list === 'unwitnessed' ? here.row : undefined, work));
        if (ended !== undefined) return { rows: work.rows, ...ended };
      }
      return { rows: work.rows };
    },
  };

  /** Of a small table there is one page of each, and it is known. */
  function pagesOf(table: string, small: SmallTable | undefined): Pages {
    if (small === undefined)
      return {
        table,
        size: PAGE,
        entries: (after) => state.listEntries(table, after, PAGE),
        rows: (after) => state.listRows(table, after, PAGE),
      };
    return {
      table,
      size: Infinity,
      entries: () => Promise.resolve(small.entries),
      rows: () => Promise.resolve(small.rows),
    };
  }

  /** @param from the first row */
  async function verifyEntries(
    { table, size, entries }: Pages,
    from: string | undefined,
    work: Work,
  ): Promise<Ended | undefined> {
    let before: StateEntry | undefined;
    for (;;) {
      const page = await entries(before ?? { row: from ?? '' });
      for (const entry of page) {
        const isSameRow = before?.row === entry.row;
        if (!isSameRow && work.left <= 0)
          return { next: presentPlace({ table, list: 'witnessed', row: entry.row }) };
        const problem =
          checkOnRecord(entry) ??
          (await checkHistory(entry, isSameRow ? before : undefined)) ??
          (entry.isNewest ? await checkPresent(entry) : undefined);
        if (problem !== undefined) return { problem };
        if (!isSameRow) work.rows += 1;
        work.left -= 1;
        before = entry;
      }
      if (page.length < size) return undefined;
    }
  }

  /** @param after the last row that was looked at */
  async function findUnwitnessed(
    { table, size, rows }: Pages,
    after: string | undefined,
    work: Work,
  ): Promise<Ended | undefined> {
    for (let row = after; ;) {
      const page = await rows(row);
      const unknown = page.find(({ isKnown }) => !isKnown);
      if (unknown !== undefined)
        return { problem: { kind: 'row inserted', table, row: unknown.row } };
      if (page.length < size) return undefined;
      work.left -= page.length;
      row = page.at(-1)?.row;
      if (work.left <= 0 && row !== undefined)
        return { next: presentPlace({ table, list: 'unwitnessed', row }) };
    }
  }
}

/** What a table has, page by page. */
interface Pages {
  readonly table: string;
  /** Of a page that isn't the last. */
  readonly size: number;
  readonly entries: (
    after: WitnessEntry | Pick<WitnessEntry, 'row'>,
  ) => ReturnType<StateReader['listEntries']>;
  readonly rows: (after: string | undefined) => ReturnType<StateReader['listRows']>;
}

/** Rows that were held against records, those that are gone too, and how many entries may still be looked at. */
interface Work {
  rows: number;
  left: number;
}

type Ended = Omit<RowsVerification, 'rows'>;

function insertedProblem({ table, row, chain, sequence }: WitnessEntry): RowProblem {
  return { kind: 'witness inserted', table, row, record: { chain, sequence } };
}

function textOf(entry: WitnessEntry): string {
  const { table, row, revision, before, after, found, sequence, time } = entry;
  return JSON.stringify([sequence, time, table, row, revision, before, after, found]);
}

interface Place {
  readonly table: string;
  readonly list: 'witnessed' | 'unwitnessed';
  readonly row: string;
}

function presentPlace({ table, list, row }: Place): string {
  return Buffer.from(JSON.stringify([table, list, row])).toString('base64url');
}

/** @throws ServiceError BadParameter */
function readPlace(text: string, state: Pick<StateReader, 'isRow'>): Place {
  const [table, list, row] = parseTexts(Buffer.from(text, 'base64url').toString());
  if (table === undefined || row === undefined || !state.isRow(table, row) || !isList(list))
    throw new ServiceError('BadParameter', 'afterRow is not the nextRow of another verification.');
  return { table, list, row };
}

function isList(text: string | undefined): text is Place['list'] {
  return text === 'witnessed' || text === 'unwitnessed';
}

function parseTexts(json: string): readonly string[] {
  try {
    const texts: unknown = JSON.parse(json);
    return Array.isArray(texts) && texts.every((text) => typeof text === 'string') ? texts : [];
  } catch {
    return [];
  }
}
