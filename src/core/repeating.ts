/**
 * Runs a task again and again, `everyMs` after it has ended, with up to a quarter of that more or less, so that processes
 * started together don't stay in step.
 * @param random in [0, 1)
 * @returns stops it, and waits for a run under way
 */
export function repeat(
  task: () => Promise<void>,
  everyMs: number,
  random: () => number,
): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  let isStopped = false;
  const next = () => {
    if (isStopped) return;
    timer = setTimeout(
      () => {
        running = task().finally(next);
      },
      everyMs * (0.75 + random() / 2),
    );
    timer.unref();
  };
  next();
  return async () => {
    isStopped = true;
    clearTimeout(timer);
    await running;
  };
}
