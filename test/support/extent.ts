/**
 * How much the suites try that could try for hours. `npm test` takes a part that is chosen so that each kind of case is
 * there; `npm run test:soak` takes all, by the files in test/soak that load those suites with STRONGROOM_TEST_EXTENT=full.
 */
export const isFullExtent = process.env['STRONGROOM_TEST_EXTENT'] === 'full';

/** All at the full extent; else the first few of each kind. */
export function sample<Case>(
  cases: readonly Case[],
  kindOf: (one: Case) => string,
  ofEachKind: number,
): readonly Case[] {
  if (isFullExtent) return cases;
  const counts = new Map<string, number>();
  return cases.filter((one) => {
    const kind = kindOf(one);
    const count = (counts.get(kind) ?? 0) + 1;
    counts.set(kind, count);
    return count <= ofEachKind;
  });
}
