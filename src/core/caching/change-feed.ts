/**
 * All that processes notify each other of. The type and what the feed understands both come from this list: a change of
 * another kind doesn't compile, and none that a store publishes is unknown to the feed.
 */
export const STATE_TOPICS = [
  'key',
  'assignment',
  'role',
  'directory',
  'setting',
  'signing-key',
  'root-keys',
  'pool',
  'restored',
] as const;

/** What has changed: one key (`id` is its name in lower case), one principal's assignments, a role, a directory object (`*`: any of them), a setting, the directory's signing keys, the pool's root keys and what they seal besides keys, or what the pool serves; `restored`: everything, as a backup had it. */
export interface StateChange {
  readonly topic: (typeof STATE_TOPICS)[number];
  readonly id: string;
}

/** What other processes and this one have changed. */
export interface ChangeFeed {
  /** Whether every change committed more than a second ago has been published here: if not, caches must not be believed. */
  isCoherent(): boolean;
  /** Called at once for this process's own changes, and with 'reset' after a gap in the feed. */
  subscribe(listener: (change: StateChange | 'reset') => void): void;
}
