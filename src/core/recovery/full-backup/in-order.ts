/**
 * What becomes of each item, in the order of the items, several at work at once. No item is asked for before there is room
 * for it.
 */
export async function* inOrder<Item, Result>(
  items: AsyncIterable<Item>,
  atOnce: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const underWay: Promise<Result>[] = [];
  try {
    for await (const item of items) {
      const started = work(item);
      // Whoever awaits it sees the error; until then it must not end the process.
      started.catch(() => undefined);
      underWay.push(started);
      if (underWay.length < atOnce) continue;
      const [first] = underWay.splice(0, 1);
      if (first !== undefined) yield await first;
    }
    for (const started of underWay) yield await started;
  } finally {
    await Promise.allSettled(underWay);
  }
}
