import type { WorkersState } from '../observability/metrics-server.ts';
import type { WatchedWorker } from './watched-worker.ts';

/**
 * What the worker processes that serve have said of themselves, as one.
 * @param of.reason a sentence for the operator that counts before theirs
 */
export function stateOf(
  watched: Iterable<WatchedWorker>,
  of: {
    readonly wanted: number;
    readonly isStartOver: boolean;
    readonly reason: string | undefined;
  },
): WorkersState {
  const serving = [...watched].filter(({ isReady, isLeaving }) => isReady && !isLeaving);
  const parts: Record<string, boolean> = {};
  for (const { report } of serving)
    for (const [name, isReady] of Object.entries(report.parts))
      parts[name] = (parts[name] ?? true) && isReady;
  // What they say of the start may be a second old.
  if (of.isStartOver) delete parts['start'];
  else parts['start'] = false;
  const reason =
    of.reason ?? serving.find(({ report }) => report.reason !== undefined)?.report.reason;
  return {
    wanted: of.wanted,
    ready: serving.length,
    parts,
    ...(reason !== undefined && { reason }),
  };
}
