/** Reads a JSON document from the network. Rejects where it can't, in bounded time. */
export type FetchJson = (url: string) => Promise<unknown>;

const LIMIT_BYTES = 256 * 1024;
const LIMIT_MS = 5_000;
const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/** Whether keys may come from there: over TLS, or from this machine. */
function isSafeUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname } = new URL(text);
  return protocol === 'https:' || (protocol === 'http:' && LOOPBACK.includes(hostname));
}

/** Follows no redirection: whoever may answer for an issuer is the one who is asked. */
export const fetchJson: FetchJson = async (url) => {
  if (!isSafeUrl(url)) throw new Error(`${url} is neither https nor on this machine`);
  const answer = await fetch(url, {
    redirect: 'error',
    signal: AbortSignal.timeout(LIMIT_MS),
    headers: { Accept: 'application/json' },
  });
  if (answer.status !== 200 || answer.body === null) {
    await answer.body?.cancel();
    throw new Error(`${url} answered ${answer.status}`);
  }
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of answer.body as unknown as AsyncIterable<Uint8Array>) {
    length += chunk.length;
    if (length > LIMIT_BYTES) throw new Error(`${url} answered more than ${LIMIT_BYTES} bytes`);
    chunks.push(chunk);
  }
  return JSON.parse(Buffer.concat(chunks).toString()) as unknown;
};
