import { type Response } from 'express';
import { contextOf } from './context.ts';

/** An answer of one JSON text a line (https://github.com/ndjson/ndjson-spec); `next` is where the rest is. */
export class Lines {
  readonly items: readonly object[];
  readonly next: string | undefined;
  constructor(items: readonly object[], next?: string) {
    this.items = items;
    this.next = next;
  }
}

/** Sends a JSON answer, or an empty one where there is no body. */
export function send(res: Response, status: number, body: unknown): void {
  const latency = Math.max(0, Math.round(performance.now() - contextOf(res).startedAt));
  res.setHeader('x-ms-server-latency', String(latency));
  res.statusCode = status;
  if (body === undefined) {
    res.end();
    return;
  }
  const isLines = body instanceof Lines;
  const text = Buffer.from(
    isLines ? body.items.map((item) => `${JSON.stringify(item)}\n`).join('') : JSON.stringify(body),
  );
  // RFC 8288.
  if (isLines && body.next !== undefined) res.setHeader('Link', `<${body.next}>; rel="next"`);
  res.setHeader(
    'Content-Type',
    isLines ? 'application/x-ndjson; charset=utf-8' : 'application/json; charset=utf-8',
  );
  res.setHeader('Content-Length', text.length);
  res.end(text);
}
