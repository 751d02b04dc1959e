import type { Server as HttpServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Server } from 'node:https';
import { setTimeout as delay } from 'node:timers/promises';
import { compose } from '../compose/compose.ts';
import type { Service } from '../compose/service/service.ts';
import { PinRefusedError } from '../core/operator-error.ts';
import { every, repeat } from '../core/repeating.ts';
import { guardConnections } from '../http/server/connection-guard.ts';
import { drain, type Patience } from '../http/server/drain.ts';
import type { Readiness, ReadinessReport } from '../http/pool/health.routes.ts';
import { createLoopbackServer } from '../http/identity/managed-identity.ts';
import { createHttpsServer } from '../http/server/server.ts';
import { sendLast } from './last-message.ts';
import { createLog } from '../observability/log.ts';
import { connectionsFor, openFileLimit } from './open-files.ts';
import { cannotListen, sentenceFor } from './error-sentence.ts';
import type { FromWorker, ToWorker, WorkerSettings } from './worker-protocol.ts';

/** A worker process: one share of the listener, one login to the HSM. Its supervisor tells it when to begin and to end. */

const HEARTBEAT_EVERY_MS = 500;
const READINESS_EVERY_MS = 1_000;
/** Where nobody says otherwise any more. */
const ORPHANS_PATIENCE: Patience = { idleMs: 500, limitMs: 30_000 };
/** Of the supervisor, which opens the port; it may be gone. */
const LISTENING_LIMIT_MS = 1_000;

let running:
  { readonly server: Server; readonly identity: HttpServer; readonly service: Service } | undefined;
let isEnding = false;
/** Resolves when the servers listen, or can't. */
let listening: Promise<unknown> = Promise.resolve();
/** Told since the start, perhaps before there was a server for them. */
let ticketKeys: string | undefined;
let isStartOver = false;
let useTicketKeys: (keys: string) => void = () => undefined;

/** How a process is, once it has had time to become ready: a part that wants longer is waited for no more. */
const SETTLING = { everyMs: 50, limitMs: 5_000 };

function send(message: FromWorker): void {
  if (process.connected) process.send?.(message);
}

async function start(settings: WorkerSettings): Promise<void> {
  const log = createLog(settings.logLevel);
  isStartOver ||= settings.isStartOver;
  const service = await compose(settings, log, {
    onHang: (operation) => {
      send({ kind: 'hung', operation });
    },
    onRestored: () => {
      send({ kind: 'outdated' });
    },
    isStartOver: () => isStartOver,
  });
  const server = createHttpsServer(service.app, settings.tls, service.messages);
  const connections = connectionsFor(openFileLimit());
  guardConnections(server, connections);
  useTicketKeys = (keys) => {
    server.setTicketKeys(Buffer.from(keys, 'base64'));
  };
  useTicketKeys(ticketKeys ?? settings.ticketKeys);
  const identity = createLoopbackServer(service.identityApp, Math.ceil(connections / 10));
  running = { server, identity, service };
  const { identityListen } = settings;
  const ports = Promise.all([
    listen(server, settings.listen, 'STRONGROOM_LISTEN'),
    identityListen && listen(identity, identityListen, 'STRONGROOM_IDENTITY_LISTEN'),
  ]);
  listening = ports.catch(() => undefined);
  const [port, identityPort] = await ports;
  let report: ReadinessReport | undefined;
  const onError = (error: unknown) => {
    log.error({ err: error }, 'the watch over this process failed: it is tried again');
  };
  every(
    HEARTBEAT_EVERY_MS,
    () => {
      const bytes = residentBytes();
      send({
        kind: 'alive',
        ...(bytes !== undefined && { residentBytes: bytes }),
        ...(report !== undefined && { report }),
      });
    },
    onError,
  ).unref();
  repeat(
    async () => {
      report = await service.readiness();
    },
    READINESS_EVERY_MS,
    Math.random,
    onError,
  );
  const { tried } = service;
  send({ kind: 'ready', port, tried, ...(identityPort !== undefined && { identityPort }) });
}

async function settle(readiness: Readiness): Promise<void> {
  const deadline = performance.now() + SETTLING.limitMs;
  let report = await readiness();
  const isOpen = () => report.reason === undefined && Object.values(report.parts).includes(false);
  while (isOpen() && performance.now() < deadline) {
    await delay(SETTLING.everyMs);
    report = await readiness();
  }
  send({ kind: 'settled', report });
}

async function end(patience: Patience): Promise<void> {
  // A server that doesn't listen yet can't be drained, and would take connections afterwards.
  await Promise.race([listening, delay(LISTENING_LIMIT_MS)]);
  const drained =
    running === undefined
      ? []
      : [running.server, running.identity]
          .filter(({ listening }) => listening || isEnding)
          .map((server) => drain(server, patience));
  if (isEnding) return;
  isEnding = true;
  running?.service.endStreams();
  await Promise.all(drained);
  await running?.service.close();
  process.exit(0);
}

/** Resolves with the port. */
async function listen(
  server: Server | HttpServer,
  { host, port }: { readonly host: string; readonly port: number },
  setting: string,
): Promise<number> {
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(port, host, resolve);
  }).catch((error: unknown) => {
    throw cannotListen(setting, { host, port }, error);
  });
  return (server.address() as AddressInfo).port;
}

/** Undefined where it can't be read, as when no more files can be opened. */
function residentBytes(): number | undefined {
  try {
    return process.memoryUsage.rss();
  } catch {
    return undefined;
  }
}

/** The process ends when its reason has been handed over, however long that takes a busy machine. */
function fail(error: unknown): void {
  process.exitCode = 1;
  const sentence = sentenceFor(error);
  const fault = error instanceof Error ? error : new Error(String(error));
  sendLast(
    process,
    {
      kind: 'failed',
      reason: sentence ?? fault.message,
      ...(error instanceof PinRefusedError && { isPinRefused: true }),
      ...(sentence === undefined && fault.stack !== undefined && { stack: fault.stack }),
    },
    () => process.exit(1),
  );
}

process.on('message', (message: ToWorker) => {
  if (message.kind === 'start') start(message.settings).catch(fail);
  if (message.kind === 'startIsOver') {
    isStartOver = true;
    if (running !== undefined) settle(running.service.readiness).catch(fail);
  }
  if (message.kind === 'ticketKeys') {
    ({ ticketKeys } = message);
    useTicketKeys(ticketKeys);
  }
  if (message.kind === 'drain') end(message.patience).catch(fail);
});
// The supervisor is gone, however it went: nobody watches this process any more.
process.on('disconnect', () => {
  end(ORPHANS_PATIENCE).catch(() => process.exit(1));
});
// A terminal's Ctrl-C reaches the whole group; the supervisor drains its workers in its own time.
process.on('SIGINT', () => undefined);
// A terminal that is closed does the same by SIGHUP, by which the supervisor reads files again.
process.on('SIGHUP', () => undefined);
send({ kind: 'listening' });
