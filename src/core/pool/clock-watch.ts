import type { AgreedClock, Clock } from '../clock.ts';

export interface ClockWatchParts {
  readonly readStoreTime: () => Promise<Date>;
  readonly clock: Clock;
  /** They have begun to disagree by so many seconds, or agree again. */
  readonly onChange: (differenceSeconds: number, agrees: boolean) => void;
}

export interface ClockWatch extends AgreedClock {
  /** By how much this process's clock was ahead of the store's when last compared; negative where it was behind. */
  readonly differenceSeconds: number;
}

/** More than what the network and a busy machine come to; a certificate or a token bears about as much. */
const LIMIT_SECONDS = 120;

/** Compares this process's clock with the store's, each time that somebody is about to do what can't be undone. */
export function createClockWatch({ readStoreTime, clock, onChange }: ClockWatchParts): ClockWatch {
  let differenceSeconds = 0;
  let agreed = true;
  return {
    get differenceSeconds() {
      return differenceSeconds;
    },
    async agreedTime() {
      const asked = clock.now().getTime();
      const time = await readStoreTime();
      const answered = clock.now().getTime();
      // The store looked at its clock somewhere between the two.
      const midway = (asked + answered) / 2;
      differenceSeconds = (midway - time.getTime()) / 1000;
      // Where this one jumps while the store answers, midway is neither time.
      const agrees = [asked, answered].every(
        (own) => Math.abs(own - time.getTime()) <= LIMIT_SECONDS * 1000,
      );
      if (agrees !== agreed) onChange(differenceSeconds, agrees);
      agreed = agrees;
      return agrees ? time : undefined;
    },
  };
}
