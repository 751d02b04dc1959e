/**
 * Runs a task again and again, `everyMs` after it has ended, with up to a quarter of that more or less, so that processes
 * started together don't stay in step. What it throws goes to `onError`, and it is run again: nothing that a timer runs may
 * end the process.
 * @param random in [0, 1)
 * @returns stops it, and waits for a run under way
 */
export function repeat(
  task: () => Promise<void>,
  everyMs: number,
  random: () => number,
  onError: (error: unknown) => void,
): () => Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  let running = Promise.resolve();
  let isStopped = false;
  const next = () => {
    if (isStopped) return;
    timer = setTimeout(
      () => {
        running = Promise.resolve().then(task).catch(onError).finally(next);
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

/**
 * Runs a short task every so many milliseconds. What it throws goes to `onError`: uncaught, it would end the process.
 * @returns the timer; clearInterval stops it
 */
export function every(
  everyMs: number,
  task: () => void,
  onError: (error: unknown) => void,
): NodeJS.Timeout {
  return setInterval(() => {
    try {
      task();
    } catch (error) {
      onError(error);
    }
  }, everyMs);
}
