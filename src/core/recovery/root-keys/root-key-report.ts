import type { RootKeyState } from './ports.ts';

/** What `GET /root-keys` and `strongroom root-keys status --json` say. */
export function reportRootKeys({ generations, retired, pending }: RootKeyState) {
  return {
    generations: generations.map(({ madeAt, ...known }) => ({
      ...known,
      madeAt: madeAt.toISOString(),
    })),
    ...(pending !== undefined && {
      pending: { ...pending, madeAt: pending.madeAt.toISOString() },
    }),
    retired: retired.map(({ number, retiredAt, destroyedAt }) => ({
      number,
      retiredAt: retiredAt.toISOString(),
      ...(destroyedAt !== undefined && { destroyedAt: destroyedAt.toISOString() }),
    })),
  };
}
