/**
 * What the operator can mend: the message is a sentence that names the setting or the file, complete without a stack. It is
 * one wherever it comes from, and stays one on its way from a worker process to the supervisor.
 */
export class OperatorError extends Error {
  override readonly name: string = 'OperatorError';
}

/**
 * The HSM has refused the PIN. A token counts such attempts and locks itself after a few, so nobody makes another one with the
 * same PIN.
 */
export class PinRefusedError extends OperatorError {
  override readonly name = 'PinRefusedError';
}

const WORDS: Readonly<Record<string, string>> = {
  EACCES: 'this user may not do that there',
  EADDRINUSE: 'another program listens there already',
  EADDRNOTAVAIL: 'this machine has no such address',
  ECONNREFUSED: 'nobody listens there',
  ECONNRESET: 'the connection was cut',
  EAI_AGAIN: 'the host name can not be resolved now',
  EDQUOT: "the user's share of the disk is used up",
  EHOSTUNREACH: 'there is no way to that host',
  EISDIR: 'it is a folder',
  EMFILE: 'this process may not open more files',
  ENETUNREACH: 'there is no way to that network',
  ENFILE: 'this machine may not open more files',
  ELOOP: 'it is a link, which is not followed',
  ENOENT: 'it is not there',
  ENOSPC: 'there is no room left on the disk',
  ENOTDIR: 'a part of its path is no folder',
  ENOTFOUND: 'the host name does not resolve',
  EPERM: 'this user may not do that there',
  EROFS: 'the file system takes no changes',
  ETIMEDOUT: 'nobody answers there',
};

/** The operating system's answer in words, its code in brackets; undefined for an error that isn't the system's. */
export function inWords(error: unknown): string | undefined {
  const code =
    typeof error === 'object' && error !== null && 'code' in error ? error.code : undefined;
  if (typeof code !== 'string') return undefined;
  const words = WORDS[code];
  return words === undefined ? undefined : `${words} (${code})`;
}
