import { type Response } from 'express';
import { contextOf } from './context.ts';

/** Sends a JSON answer, or an empty one where there is no body. */
export function send(res: Response, status: number, body: unknown): void {
  const latency = Math.max(0, Math.round(performance.now() - contextOf(res).startedAt));
  res.setHeader('x-ms-server-latency', String(latency));
  res.statusCode = status;
  if (body === undefined) {
    res.end();
    return;
  }
  const text = Buffer.from(JSON.stringify(body));
  res.setHeader('Content-Type', 'application/json; charset=utf-8');
  res.setHeader('Content-Length', text.length);
  res.end(text);
}
