import {
  type ChangeFeedOptions,
  openChangeFeed,
  type PoolFeed,
} from '../../src/store/change-feed.ts';

export interface OpenPoolFeed extends PoolFeed {
  close(): Promise<void>;
}

/** What one pool hears, on a connection of its own. */
export async function openPoolFeed({
  poolId,
  ...options
}: ChangeFeedOptions & { readonly poolId: string }): Promise<OpenPoolFeed> {
  const feed = await openChangeFeed(options);
  return { ...feed.of(poolId), close: () => feed.close() };
}
