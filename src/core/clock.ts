export interface Clock {
  readonly now: () => Date;
}

/**
 * What can't be undone goes by the store's clock, and not at all while that and this process's disagree: a clock that jumps
 * must not destroy.
 */
export interface AgreedClock {
  /** The store's time; undefined while the two disagree. @throws ServiceError StoreUnavailable */
  agreedTime(): Promise<Date | undefined>;
}

export const systemClock: Clock = { now: () => new Date() };
