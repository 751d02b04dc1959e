import { repeat } from '../../core/repeating.ts';
import { findPool } from '../../store/pool/pool-store.ts';
import { LIMITS } from '../limits.ts';
import type { Base } from './base.ts';

/**
 * Says, once, that a backup was restored: nothing is as this process knows it, and its pool may be another one. A process
 * that began at that very moment may have missed the word, and looks for itself.
 * @returns stops it
 */
export function watchRestores(
  { feed, context, pool, log }: Pick<Base, 'feed' | 'context' | 'pool' | 'log'>,
  onRestored: () => void,
): () => Promise<void> {
  let isOver = false;
  const restored = () => {
    if (isOver) return;
    isOver = true;
    log.info({}, 'a backup was restored: this process gives way to a fresh one');
    onRestored();
  };
  feed.subscribe((change) => {
    if (change !== 'reset' && change.topic === 'restored') restored();
  });
  return repeat(
    async () => {
      const now = await findPool(context.db, pool.name);
      if (now !== undefined && (now.id !== pool.id || now.restores !== pool.restores)) restored();
    },
    LIMITS.rootKeysEveryMs,
    Math.random,
    // Others say that the database is away.
    () => undefined,
  );
}
