import process from 'node:process';

/** Of one listener, at most. */
const CONNECTIONS = 10_000;
/** What else has files open: the database's connections, the module's token, logs, requests to issuers. */
const RESERVED = 256;
/** A limit below this leaves room for so few connections that an operator should know. */
const LOW = 4_096;

/** How many files this process may have open; undefined where the system doesn't say. */
export function openFileLimit(): number | undefined {
  const { userLimits } = process.report.getReport() as {
    readonly userLimits?: { readonly open_files?: { readonly soft?: number | string } };
  };
  const soft = userLimits?.open_files?.soft;
  return typeof soft === 'number' ? soft : undefined;
}

/** How many connections the listener may have open below that limit: the rest is for what has to go on beside them. */
export function connectionsFor(limit: number | undefined): number {
  if (limit === undefined) return CONNECTIONS;
  return Math.max(1, Math.min(CONNECTIONS, limit - Math.max(RESERVED, Math.floor(limit / 4))));
}

/** A sentence for the operator where the limit is low. */
export function openFilesWarning(limit: number | undefined): string | undefined {
  return limit === undefined || limit >= LOW
    ? undefined
    : `A process may have ${limit} files open, so each worker keeps ${connectionsFor(limit)} connections at most: raise the limit (ulimit -n, LimitNOFILE) to ${LOW} or more.`;
}
