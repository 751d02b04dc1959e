/** One start of `strongroom serve`: several processes on one machine, with one HSM. */
export interface ReplicaIdentity {
  readonly id: string;
  /** By which an operator knows the machine. */
  readonly name: string;
}

/** How a process that serves the pool is, in its own words. */
export interface ProcessReport {
  readonly isReady: boolean;
  /** Why not, for an operator. */
  readonly reason: string | undefined;
  /** Root keys that its HSM holds, of those that the pool needs. */
  readonly rootGenerations: readonly number[];
  /** How long a notification takes to come; undefined while none does. Milliseconds. */
  readonly feedLagMs: number | undefined;
  /** By how much its clock is ahead of the store's; undefined before they were compared. Milliseconds. */
  readonly clockDifferenceMs: number | undefined;
}

/** What doesn't change of a process while it lives. */
export interface ServingProcess {
  readonly id: string;
  readonly replica: ReplicaIdentity;
  /** Of Strongroom. */
  readonly version: string;
  /** The newest migration that it knows. */
  readonly schema: string;
  readonly startedAt: Date;
}

/** A process as the store knows it. */
export interface KnownProcess extends ServingProcess, ProcessReport {
  readonly seenAt: Date;
  /** Since it was heard of last, by the store's clock. */
  readonly silentMs: number;
}

export interface ReplicaStore {
  /** Says how a process is. @returns the store's time */
  report(process: ServingProcess, report: ProcessReport): Promise<Date>;
  /** It ends in good order. */
  remove(processId: string): Promise<void>;
  /** Those of the pool. At most `limit` of those heard of last. */
  list(limit: number): Promise<readonly KnownProcess[]>;
  /** Forgets whoever has been silent for so long. */
  forget(silentMs: number): Promise<void>;
}

export const REPLICA_STATUSES = ['ready', 'not ready', 'silent'] as const;
export type ReplicaStatus = (typeof REPLICA_STATUSES)[number];

/** One start of the service: what its processes say, as one. */
export interface Replica extends ReplicaIdentity, Pick<ProcessReport, 'rootGenerations'> {
  readonly status: ReplicaStatus;
  readonly reason: string | undefined;
  readonly version: string;
  readonly schema: string;
  /** That are heard of; 0 of a silent one. */
  readonly processes: number;
  readonly startedAt: Date;
  readonly seenAt: Date;
  /** Root keys that are to become the current ones, where its HSM lacks them. */
  readonly lacksRootGeneration?: number;
  /** The longest. */
  readonly feedLagMs: number | undefined;
  /** The largest, whichever way. */
  readonly clockDifferenceMs: number | undefined;
}

/** A process that lives says so every so many milliseconds. */
export const REPORT_EVERY_MS = 2_000;
/** After that it is silent: it has ended without a word, hangs, or is cut off from the store. */
export const SILENT_AFTER_MS = 10_000;
/** After that nothing is known of it any more. */
export const FORGOTTEN_AFTER_MS = 3_600_000;
/**
 * Puts processes together to replicas, those that began first before the others.
 * @param pending root keys that are to become the current ones
 */
export function toReplicas(
  processes: readonly KnownProcess[],
  pending?: number,
): readonly Replica[] {
  const byReplica = new Map<string, KnownProcess[]>();
  for (const one of processes) {
    const { id } = one.replica;
    byReplica.set(id, [...(byReplica.get(id) ?? []), one]);
  }
  return [...byReplica.values()]
    .map(toReplica)
    .map((replica) =>
      pending === undefined || replica.rootGenerations.includes(pending)
        ? replica
        : { ...replica, lacksRootGeneration: pending },
    )
    .sort((a, b) => a.startedAt.getTime() - b.startedAt.getTime() || (a.id < b.id ? -1 : 1));
}

function toReplica(processes: readonly KnownProcess[]): Replica {
  const [newest] = processes.toSorted((a, b) => b.seenAt.getTime() - a.seenAt.getTime());
  if (newest === undefined) throw new TypeError('a replica has a process');
  const live = processes.filter(({ silentMs }) => silentMs <= SILENT_AFTER_MS);
  // Of a replica that is silent, what it said last.
  const heard = live.length === 0 ? [newest] : live;
  const unready = heard.find(({ isReady }) => !isReady);
  return {
    ...newest.replica,
    status: live.length === 0 ? 'silent' : unready === undefined ? 'ready' : 'not ready',
    reason: unready?.reason,
    version: newest.version,
    schema: newest.schema,
    processes: live.length,
    rootGenerations: heard
      .map(({ rootGenerations }) => rootGenerations)
      .reduce((all, some) => all.filter((number) => some.includes(number))),
    startedAt: new Date(Math.min(...heard.map(({ startedAt }) => startedAt.getTime()))),
    seenAt: newest.seenAt,
    feedLagMs: largest(heard.map(({ feedLagMs }) => feedLagMs)),
    clockDifferenceMs: largest(heard.map(({ clockDifferenceMs }) => clockDifferenceMs)),
  };
}

/** By its distance from zero. */
function largest(values: readonly (number | undefined)[]): number | undefined {
  return values.reduce(
    (most, value) =>
      value !== undefined && (most === undefined || Math.abs(value) > Math.abs(most))
        ? value
        : most,
    undefined,
  );
}
