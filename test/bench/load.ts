import { Agent, request as httpsRequest } from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';
import autocannon from 'autocannon';
import { answer } from './helper-process.ts';
import { type LoadPlan, type LoadRequest } from './load-plan.ts';
import { pickerOf } from './picker.ts';

/** A process that makes load: as much as it can (autocannon), or at a steady pace, for latencies. */

/** A pace that is not kept piles requests up: then there is nothing to tell about it. */
const WAITING_LIMIT = 2_000;
const TIMEOUT_SECONDS = 30;
/** What is slower than one in the time that it has been given is paced for longer. */
const LEAST = 5;

const plans = new Map<string, LoadPlan>();
let running: { stop(): void; readonly ended: Promise<unknown> } | undefined;
let tally = newTally();
let numbered = 0;

function newTally() {
  return { answers: 0, failures: new Map<string, number>() };
}

function fail(reason: string): void {
  tally.failures.set(reason, (tally.failures.get(reason) ?? 0) + 1);
}

function planOf(name: string): LoadPlan {
  const plan = plans.get(name);
  if (plan === undefined) throw new Error(`no plan is called ${name}`);
  return plan;
}

/** The next request of a plan, with a token of one of its principals. */
function nextRequest(plan: LoadPlan): () => LoadRequest & { headers: Record<string, string> } {
  const pickRequest = pickerOf(plan.requests.length, plan.pick);
  const pickToken = pickerOf(plan.tokens.length, 'uniform');
  return () => {
    const { method, path, body } = plan.requests[pickRequest()] ?? { method: 'GET', path: '/' };
    numbered += 1;
    return {
      method,
      path: path.replace('{}', `${process.pid}-${numbered}`),
      headers: {
        Authorization: `Bearer ${plan.tokens[pickToken()] ?? ''}`,
        ...(body !== undefined && { 'Content-Type': 'application/json' }),
      },
      ...(body !== undefined && { body }),
    };
  };
}

answer({
  learn({ name, plan }: { name: string; plan: LoadPlan }) {
    plans.set(name, plan);
  },

  start({ name, connections }: { name: string; connections: number }) {
    const plan = planOf(name);
    const next = nextRequest(plan);
    const [only, ...others] = plan.requests;
    const isFixed = others.length === 0 && plan.tokens.length === 1 && !only?.path.includes('{}');
    tally = newTally();
    const url = `https://localhost:${plan.port}`;
    let what: Partial<autocannon.Options> & { url: string };
    if (isFixed) {
      const { path, ...rest } = next();
      // Built once.
      what = {
        ...rest,
        url: `${url}${path}`,
        ...(only?.expected !== undefined && { expectBody: only.expected }),
      };
    } else {
      const setupRequest = (defaults: autocannon.Request) => ({ ...defaults, ...next() });
      what = { url, requests: [{ setupRequest }] };
    }
    let settle: () => void = () => undefined;
    const ended = new Promise<void>((resolve) => (settle = resolve));
    const instance = autocannon(
      {
        ...what,
        connections,
        duration: 3_600,
        // How soon it notices that it is to stop.
        sampleInt: 50,
        timeout: TIMEOUT_SECONDS,
      },
      (error: Error | null) => {
        if (error !== null) fail(error.message);
        settle();
      },
    );
    instance.on('response', (_client, status) => {
      if (status >= 200 && status < 300) tally.answers += 1;
      else fail(`status ${status}`);
    });
    instance.on('reqError', (error: Error) => {
      fail(error.message);
    });
    (instance as NodeJS.EventEmitter).on('reqMismatch', () => {
      fail('another answer than expected');
    });
    running = {
      stop: () => {
        instance.stop();
      },
      ended,
    };
  },

  count: () => tally.answers,

  async stop() {
    running?.stop();
    await running?.ended;
    running = undefined;
    return [...tally.failures].map(([reason, times]) => `${times} x ${reason}`);
  },

  /** Latencies in milliseconds at so many requests a second, evenly spaced and sent whether or not others are answered. */
  async pace({
    name,
    connections,
    perSecond,
    seconds,
  }: {
    name: string;
    connections: number;
    perSecond: number;
    seconds: number;
  }) {
    const plan = planOf(name);
    const next = nextRequest(plan);
    const agent = new Agent({
      keepAlive: true,
      maxSockets: connections,
      rejectUnauthorized: false,
    });
    const latencies: number[] = [];
    const begun = performance.now();
    // Connections are made, and caches filled, in the first part.
    const measuredFrom = begun + 250;
    const end = measuredFrom + seconds * 1000;
    const sending = new Set<Promise<void>>();
    const failures: unknown[] = [];
    let measured = 0;
    for (let sent = 0; performance.now() < end || measured < LEAST;) {
      const due = ((performance.now() - begun) * perSecond) / 1000;
      for (; sent < due; sent += 1) {
        const isMeasured = performance.now() >= measuredFrom;
        if (isMeasured) measured += 1;
        const one = send(agent, plan.port, next())
          .then(
            (ms) => {
              if (isMeasured) latencies.push(ms);
            },
            (error: unknown) => failures.push(error),
          )
          .then(() => {
            sending.delete(one);
          });
        sending.add(one);
      }
      if (sending.size > WAITING_LIMIT)
        throw new Error(`the service doesn't keep up with ${Math.round(perSecond)} a second`);
      if (failures.length > 0) throw failures[0];
      await sleep(1);
    }
    await Promise.all(sending);
    if (failures.length > 0) throw failures[0];
    agent.destroy();
    return latencies;
  },
});

/** Milliseconds until the whole answer was there. */
function send(
  agent: Agent,
  port: number,
  { method, path, headers, body = '' }: LoadRequest & { headers: Record<string, string> },
): Promise<number> {
  const started = performance.now();
  return new Promise((resolve, reject) => {
    const outgoing = httpsRequest(
      {
        agent,
        host: 'localhost',
        port,
        method,
        path,
        headers: { ...headers, 'Content-Length': Buffer.byteLength(body) },
        timeout: TIMEOUT_SECONDS * 1000,
      },
      (incoming) => {
        const { statusCode = 0 } = incoming;
        incoming
          .on('error', reject)
          .on('end', () => {
            if (statusCode >= 200 && statusCode < 300) resolve(performance.now() - started);
            else reject(new Error(`status ${statusCode}`));
          })
          .resume();
      },
    );
    outgoing
      .on('timeout', () => outgoing.destroy(new Error('timeout')))
      .on('error', reject)
      .end(body);
  });
}
