import type { Agent as PlainAgent, ClientRequest, IncomingMessage } from 'node:http';
import type { Agent } from 'node:https';

/** What a host that others name may answer. */
export interface AnswerBounds {
  /** Of an answer that is read into memory as a whole: errors, and all that `isContent` isn't. */
  readonly bytes: number;
  /** From the beginning of a request to its answer's end; of content to its beginning. Requests with a body have `uploadMs`. */
  readonly totalMs: number;
  readonly uploadMs: number;
  /** Whether a success is content, which its reader takes as it comes, and bounds for itself. */
  readonly isContent: (method: string, target: string) => boolean;
}

/** By which an answer would lead a client elsewhere, or have it wait for as long as it says. */
const STEERING = [
  'location',
  'retry-after',
  'retry-after-ms',
  'x-ms-retry-after-ms',
  'x-amz-retry-after',
];

interface Adding {
  addRequest: (request: ClientRequest, ...more: unknown[]) => void;
}

/**
 * Bounds the answers to whatever goes by an agent, whichever client library asks: these read an error's text or a list into
 * memory however long it is, follow redirects, and wait for the end of an answer that comes in drops. Node calls an agent's
 * `addRequest` for each request, before anything is sent; if it ever didn't, tests against a hostile host would find that.
 */
export function boundAnswers(agent: Agent | PlainAgent, bounds: AnswerBounds): void {
  const adding = agent as unknown as Adding;
  const add = adding.addRequest.bind(agent);
  adding.addRequest = (request, ...more) => {
    watch(request, bounds);
    add(request, ...more);
  };
}

function watch(request: ClientRequest, bounds: AnswerBounds): void {
  const { method, path } = request;
  const isUpload = method === 'PUT' || method === 'POST';
  const timer = setTimeout(
    () => {
      request.destroy(refused('The host takes too long to answer', 'ETIMEDOUT'));
    },
    isUpload ? bounds.uploadMs : bounds.totalMs,
  );
  request.once('close', () => {
    clearTimeout(timer);
  });
  // The client's own listener is there already, and has to find the answer as it is bounded.
  request.prependOnceListener('response', (answer) => {
    for (const name of STEERING) Reflect.deleteProperty(answer.headers, name);
    const { statusCode = 0 } = answer;
    if (statusCode >= 200 && statusCode < 300 && bounds.isContent(method, path))
      clearTimeout(timer);
    else endAt(answer, bounds.bytes);
  });
}

/** Breaks an answer off that is longer, as it comes in: none of it waits in memory for somebody to count it. */
function endAt(answer: IncomingMessage, limit: number): void {
  const push = answer.push.bind(answer);
  let length = 0;
  answer.push = (piece: Uint8Array | null, encoding?: BufferEncoding) => {
    length += piece?.length ?? 0;
    if (length <= limit) return push(piece, encoding);
    answer.destroy(refused('The host gives too long an answer', 'EMSGSIZE'));
    return false;
  };
}

function refused(message: string, code: string): Error {
  return Object.assign(new Error(message), { code });
}
