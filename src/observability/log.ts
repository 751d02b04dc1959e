import { type DestinationStream, type Logger, pino } from 'pino';

/**
 * The fields that a line may have besides its level, time, process and message. A list of what is let through, not of
 * what is taken out: a field that somebody adds elsewhere, a request's body included, stays out of the log until its
 * name is put here.
 */
const FIELDS: ReadonlySet<string> = new Set([
  'action',
  'bytes',
  'code',
  'durationMs',
  'event',
  'found',
  'issuer',
  'keyName',
  'keyVersion',
  'limit',
  'number',
  'operation',
  'principalId',
  'requestId',
  'rows',
  'scope',
  'signal',
  'status',
  'used',
  'worker',
]);

const MESSAGE_LIMIT = 1_000;
const FRAMES_LIMIT = 12;
const CAUSES_LIMIT = 4;

/**
 * The log of one process: a JSON object a line, to standard error.
 * @param level pino's name of the least level that is written
 */
export function createLog(
  level: string,
  destination: DestinationStream = pino.destination(2),
): Logger {
  return pino({ level, formatters: { log: allowed }, serializers: { err: asItIs } }, destination);
}

/** Described already: pino's own serializer would take it for an error. */
function asItIs(value: unknown): unknown {
  return value;
}

function allowed(details: Record<string, unknown>): Record<string, unknown> {
  const fields: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(details)) {
    if (name === 'err') fields[name] = describeError(value, CAUSES_LIMIT);
    else if (FIELDS.has(name)) fields[name] = value;
  }
  return fields;
}

/**
 * Of an error its class, code, message and the places it passed: nothing else that a library hangs onto one (pg's
 * `detail` and `parameters` quote a row's values, an HTTP client's `config` its headers).
 */
function describeError(error: unknown, causes: number): unknown {
  if (!(error instanceof Error)) return { type: typeof error };
  const code = (error as { code?: unknown }).code;
  return {
    type: error.constructor.name,
    message: withoutSecrets(error.message).slice(0, MESSAGE_LIMIT),
    ...((typeof code === 'string' || typeof code === 'number') && { code }),
    stack: framesOf(error),
    ...(error.cause !== undefined &&
      causes > 0 && { cause: describeError(error.cause, causes - 1) }),
  };
}

/** The stack without its first lines, which repeat the message. */
function framesOf({ stack = '' }: Error): string[] {
  return stack
    .split('\n')
    .map((line) => line.trim())
    .filter((line) => line.startsWith('at '))
    .slice(0, FRAMES_LIMIT);
}

/** A message of someone else's library may quote what it was given: tokens, keys and passwords in URLs are told by their form. */
function withoutSecrets(message: string): string {
  return message
    .slice(0, MESSAGE_LIMIT * 10)
    .replaceAll(/:\/\/[^\s/@]+@/g, '://[left out]@')
    .replaceAll(/[\w+/=-]{32,}/g, (run) => (isSecretLike(run) ? '[left out]' : run));
}

/** Hexadecimal, or letters of both cases with digits between them: not a path, a sentence's word or a GUID. */
function isSecretLike(run: string): boolean {
  if (/^[\da-f]+$/i.test(run)) return true;
  return /[A-Z]/.test(run) && /[a-z]/.test(run) && /\d/.test(run);
}
