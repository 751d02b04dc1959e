import { setTimeout as delay } from 'node:timers/promises';
import type { Answer, Caller } from './client.ts';

export interface SteadyLoad {
  /** Ends it. */
  stop(): Promise<LoadReport>;
}

interface LoadReport {
  /** As clients count them. */
  readonly requests: number;
  /** Sent again by those that do. */
  readonly retries: number;
  /** Not answered as they should have been, in the end. */
  readonly lost: readonly string[];
  /** The longest time that one took, with all that was sent again for it. Milliseconds. */
  readonly slowestMs: number;
}

/** As Azure's libraries do: 3 times more, after 0.8 s and twice as long each time, or after what Retry-After says. */
const RETRIES = 3;
const RETRY_AFTER_MS = 800;
const VALUE = Buffer.alloc(32, 7).toString('base64url');

/**
 * Clients that ask all the time. @param callers of which each client takes the next one when it tries again; one of them is
 * all that a client has which never tries again
 */
export function startLoad(
  clients: readonly { readonly callers: readonly Caller[]; readonly retries: boolean }[],
  { wrap, sign }: { readonly wrap: string; readonly sign: string },
): SteadyLoad {
  const report = { requests: 0, retries: 0, lost: [] as string[], slowestMs: 0 };
  let isOver = false;

  async function ask(
    { callers, retries }: (typeof clients)[number],
    turn: number,
    ...given: Parameters<Caller>
  ): Promise<Answer | undefined> {
    const began = performance.now();
    report.requests += 1;
    let said = '';
    for (let tries = 0; tries <= (retries ? RETRIES : 0); tries += 1) {
      if (tries > 0) {
        report.retries += 1;
        await delay(RETRY_AFTER_MS * 2 ** (tries - 1));
      }
      const call = callers[(turn + tries) % callers.length];
      try {
        const answer = await call?.(...given);
        if (answer?.status === 200) {
          report.slowestMs = Math.max(report.slowestMs, Math.round(performance.now() - began));
          return answer;
        }
        said = `${answer?.status ?? ''} ${answer?.text ?? ''}`;
      } catch (error) {
        said = String(error);
      }
    }
    report.lost.push(`${given[0]} ${given[1]}: ${said}`);
    return undefined;
  }

  async function work(client: (typeof clients)[number]): Promise<void> {
    for (let turn = 0; !isOver; turn += 1) {
      const wrapped = await ask(client, turn, 'POST', `/keys/${wrap}/wrapkey`, {
        ...{ alg: 'A256KW', value: VALUE },
      });
      if (wrapped !== undefined) {
        const { value } = wrapped.json<{ value: string }>();
        const opened = await ask(client, turn, 'POST', `/keys/${wrap}/unwrapkey`, {
          ...{ alg: 'A256KW', value },
        });
        if (opened !== undefined && opened.json<{ value: string }>().value !== VALUE)
          report.lost.push('another value unwrapped');
      }
      await ask(client, turn, 'POST', `/keys/${sign}/sign`, { alg: 'ES256', value: VALUE });
      if (turn % 20 === 0)
        await ask(client, turn, 'PATCH', `/keys/${sign}`, { tags: { turn: String(turn) } });
    }
  }
  const working = Promise.all(clients.map(work));
  return {
    async stop() {
      isOver = true;
      await working;
      return report;
    },
  };
}
