const MIB = 1024 ** 2;

/** Of the machine's memory: the other half is PostgreSQL's, the page cache's and everybody else's. */
const PART = 0.5;
const LIMIT = { least: 512 * MIB, most: 2_048 * MIB };

/** What a process takes besides loaded keys: itself, and the records of keys and callers that it remembers. */
const BESIDE = 640 * MIB;
/** A loaded key: 8 to 12 KB in SoftHSM by its type, and what holds it here. */
const OBJECT = 12 * 1024;
const OBJECTS = { least: 4_096, most: 100_000 };

/** The limit of a worker process's resident memory, in bytes, where the operator gives none. */
export function memoryLimitFor(machine: {
  readonly memoryBytes: number;
  readonly workers: number;
}): number {
  return within(LIMIT, (PART * machine.memoryBytes) / machine.workers);
}

/** How many keys a process may keep loaded below its memory limit, where the operator says nothing. */
export function loadedKeysFor(memoryLimit: number): number {
  return within(OBJECTS, (memoryLimit - BESIDE) / OBJECT);
}

function within({ least, most }: { readonly least: number; readonly most: number }, value: number) {
  return Math.floor(Math.min(most, Math.max(least, value)));
}
