import autocannon from 'autocannon';
import type { LoadPlan } from './load-plan.ts';
import { requestSource } from './request-source.ts';

/** So many callers, each of whom asks again as soon as it has its answer: as much as the listener can do. */
export interface ClosedLoad {
  /** Successes until now. */
  count(): number;
  /** What went wrong, and how often. */
  stop(): Promise<readonly string[]>;
}

const TIMEOUT_SECONDS = 30;
/** How soon it notices that it is to stop. */
const NOTICE_MS = 50;
/** It runs until it is stopped. */
const FOREVER_SECONDS = 86_400;

export function startClosedLoad(plan: LoadPlan, connections: number): ClosedLoad {
  let answers = 0;
  const failures = new Map<string, number>();
  const fail = (reason: string) => {
    failures.set(reason, (failures.get(reason) ?? 0) + 1);
  };
  let settle: () => void = () => undefined;
  const ended = new Promise<void>((resolve) => (settle = resolve));
  const instance = autocannon(
    {
      ...whatToSend(plan),
      connections,
      duration: FOREVER_SECONDS,
      sampleInt: NOTICE_MS,
      timeout: TIMEOUT_SECONDS,
    },
    (error: Error | null) => {
      if (error !== null) fail(error.message);
      settle();
    },
  );
  instance.on('response', (_client, status) => {
    if (status >= 200 && status < 300) answers += 1;
    else fail(`status ${status}`);
  });
  instance.on('reqError', (error: Error) => {
    fail(error.message);
  });
  (instance as NodeJS.EventEmitter).on('reqMismatch', () => {
    fail('another answer than expected');
  });
  return {
    count: () => answers,
    async stop() {
      instance.stop();
      await ended;
      return [...failures].map(([reason, times]) => `${times} x ${reason}`);
    },
  };
}

/** Built once where it is always the same, so that the generator has the less to do; its answers are compared then. */
function whatToSend(plan: LoadPlan): Partial<autocannon.Options> & { readonly url: string } {
  const url = `https://localhost:${plan.port}`;
  const next = requestSource(plan);
  const [only, ...others] = plan.requests;
  if (others.length > 0 || plan.tokens.length > 1 || only?.path.includes('{}') === true)
    return {
      url,
      requests: [{ setupRequest: (defaults: autocannon.Request) => ({ ...defaults, ...next() }) }],
    };
  const { path, ...rest } = next();
  return {
    ...rest,
    url: `${url}${path}`,
    ...(only?.expected !== undefined && { expectBody: only.expected }),
  };
}
