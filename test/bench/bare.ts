import cluster, { type Worker } from 'node:cluster';
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import express from 'express';
import { createHttpsServer, type TlsFiles } from '../../src/http/server/server.ts';
import { answer, tellParent } from './helper-process.ts';

/**
 * The same HTTPS server, the same Express, a JSON body read and a JSON answer of the same size, and nothing else: what a
 * request costs before the service has done anything for it. As many processes, sharing the listener in the same way.
 */

type Told = { readonly tls: TlsFiles } | { readonly answer: unknown };

if (cluster.isPrimary) {
  const workers: Worker[] = [];
  const tell = async (worker: Worker, told: Told) => {
    const done = once(worker, 'message') as Promise<[{ port: number }]>;
    worker.send(told);
    return (await done)[0];
  };
  answer({
    async start({ tls, processes }: { tls: TlsFiles; processes: number }) {
      let port = 0;
      for (let started = 0; started < processes; started += 1) {
        const worker = cluster.fork();
        // What it is told before it listens is lost.
        await once(worker, 'message');
        workers.push(worker);
        ({ port } = await tell(worker, { tls }));
      }
      return port;
    },
    answerWith: (body: unknown) => Promise.all(workers.map((each) => tell(each, { answer: body }))),
  });
} else {
  let body: unknown = {};
  const app = express();
  // As the service's own: all that makes Express slower and isn't wanted.
  app.disable('x-powered-by');
  app.disable('etag');
  app.set('query parser', 'simple');
  app.use(express.json());
  app.all('/{*path}', (_req, res) => {
    res.json(body);
  });
  process.on('message', (told: Told) => {
    if ('answer' in told) {
      body = told.answer;
      tellParent({});
      return;
    }
    const server = createHttpsServer(app, told.tls);
    server.listen(0, '127.0.0.1', () => {
      tellParent({ port: (server.address() as AddressInfo).port });
    });
  });
  process.on('disconnect', () => process.exit(0));
  process.on('SIGINT', () => undefined);
  tellParent({});
}
