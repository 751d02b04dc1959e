/**
 * Whether the database answers, for probes: it counts as away when it says nothing for `limitMs`. However many ask, one
 * question is under way.
 */
export function createStoreCheck(
  ask: () => Promise<boolean>,
  limitMs: number,
): () => Promise<boolean> {
  let asking: Promise<boolean> | undefined;
  return async () => {
    asking ??= ask()
      .catch(() => false)
      .finally(() => {
        asking = undefined;
      });
    let timer: NodeJS.Timeout | undefined;
    const limit = new Promise<boolean>((resolve) => {
      timer = setTimeout(resolve, limitMs, false);
    });
    const answer = await Promise.race([asking, limit]);
    clearTimeout(timer);
    return answer;
  };
}
