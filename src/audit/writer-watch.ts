interface Writer<Written> {
  write(records: readonly Written[]): Promise<void>;
}

/** A write that takes longer is no good sign. */
const SLOW_MS = 1_000;
/** After a write that failed: the next one is tried within a second where any answer was withheld. */
const FAILED_MS = 3_000;

/** The same writer, and whether it takes records: for probes, so that callers are sent to where their answers aren't withheld. */
export function watchWriter<Written>(writer: Writer<Written>, steadyMs: () => number) {
  let failedAt = Number.NEGATIVE_INFINITY;
  const began = new Set<{ readonly at: number }>();
  return {
    async write(records: readonly Written[]): Promise<void> {
      const write = { at: steadyMs() };
      began.add(write);
      try {
        await writer.write(records);
        failedAt = Number.NEGATIVE_INFINITY;
      } catch (error) {
        failedAt = steadyMs();
        throw error;
      } finally {
        began.delete(write);
      }
    },
    isTaking(): boolean {
      const now = steadyMs();
      return now - failedAt > FAILED_MS && [...began].every(({ at }) => now - at < SLOW_MS);
    },
  };
}
