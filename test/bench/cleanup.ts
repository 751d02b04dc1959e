/** Tells what is to be undone at the end, whichever way it comes; the last thing first. */
export interface Cleanup {
  add(undo: () => unknown): void;
  run(): Promise<void>;
}

export function createCleanup(): Cleanup {
  const tasks: (() => unknown)[] = [];
  return {
    add(undo) {
      tasks.push(undo);
    },
    async run() {
      for (let undo = tasks.pop(); undo !== undefined; undo = tasks.pop())
        await Promise.resolve()
          .then(undo)
          .catch((error: unknown) => {
            process.stderr.write(`${String(error)}\n`);
          });
    },
  };
}
