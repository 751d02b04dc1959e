import { describe, expect, test } from '@jest/globals';
import { randomBytes } from 'node:crypto';
import { Dispatcher } from '../../../src/hsm/module/dispatcher.ts';
import type { OperationSession } from '../../../src/hsm/module/operation-session.ts';
import { SessionPool } from '../../../src/hsm/module/session-pool.ts';
import { testIdentity } from '../../support/hsm.ts';

const handle = randomBytes(8);
const rootKeys = { poolId: 'pool', generation: 1, wrap: handle, seal: handle };
const RSA = { keyType: 'RSA-HSM', bits: 2048, publicExponent: 65537 } as const;
const AES = { keyType: 'oct-HSM', bits: 256 } as const;
const EC = { keyType: 'EC-HSM', curve: 'P-256' } as const;

/** A pool whose sessions do nothing but say that they were asked, and that it took so long. */
function poolNamed(name: string, seen: string[], took: { ms: number }) {
  const open = (): OperationSession => ({
    run: (operation, _input, onMeasured) => {
      seen.push(`${operation} ${name}`);
      onMeasured(took.ms);
      return new Promise((resolve) => {
        resolve(undefined as never);
      });
    },
    close: () => undefined,
  });
  return new SessionPool({ open, size: 1, waitMs: 1_000, waitingLimit: 10 });
}

function dispatcherOf(...names: readonly ('inline' | 'workers' | 'generator')[]) {
  const seen: string[] = [];
  const took = { ms: 0.05 };
  const pools = Object.fromEntries(names.map((name) => [name, poolNamed(name, seen, took)]));
  const dispatcher = new Dispatcher(
    pools as unknown as ConstructorParameters<typeof Dispatcher>[0],
  );
  return {
    seen,
    took,
    dispatcher,
    sign: (spec: typeof RSA | typeof EC = EC) =>
      dispatcher.run('sign', [handle, spec, spec === RSA ? 'RS256' : 'ES256', handle]),
    wrap: (bytes: number) =>
      dispatcher.run('encrypt', [handle, AES, 'A256KW', new Uint8Array(bytes), {}]),
    unwrap: (bytes: number) =>
      dispatcher.run('decrypt', [handle, AES, 'A256KW', { value: new Uint8Array(bytes) }, {}]),
    generate: (spec: typeof RSA | typeof EC) =>
      dispatcher.run('generate', [rootKeys, testIdentity('pool', 'key'), spec]),
  };
}

describe('an operation', () => {
  test('runs inline while it is short, and in a thread when it takes long', async () => {
    const { sign, seen, took } = dispatcherOf('inline', 'workers', 'generator');
    await sign();
    took.ms = 100;
    for (let run = 0; run < 3; run += 1) await sign();
    await sign(RSA);
    expect(seen).toEqual([...Array<string>(3).fill('sign inline'), 'sign workers', 'sign inline']);
  });

  test('comes back from a thread when it has become short', async () => {
    const { sign, seen, took } = dispatcherOf('inline', 'workers', 'generator');
    took.ms = 100;
    for (let run = 0; run < 3; run += 1) await sign();
    took.ms = 0.05;
    for (let run = 0; run < 30; run += 1) await sign();
    expect([seen[2], seen.at(-1)]).toEqual(['sign workers', 'sign inline']);
  });

  test.each([
    ['wrap', 'encrypt'],
    ['unwrap', 'decrypt'],
  ] as const)('on much data holds up none on little: %s', async (way, operation) => {
    const { [way]: run, seen, took } = dispatcherOf('inline', 'workers', 'generator');
    await run(32);
    took.ms = 12;
    for (let turn = 0; turn < 4; turn += 1) await run(4_096);
    took.ms = 0.05;
    seen.length = 0;
    for (const bytes of [4_096, 1_024, 256, 32]) await run(bytes);
    expect(seen).toEqual([`${operation} workers`, ...Array<string>(3).fill(`${operation} inline`)]);
  });

  test('that makes an RSA key has a thread that no other waits for', async () => {
    const { generate, seen } = dispatcherOf('inline', 'workers', 'generator');
    await generate(RSA);
    await generate(EC);
    expect(seen).toEqual(['generate generator', 'generate inline']);
  });

  test.each(['inline', 'workers'] as const)(
    'has no choice where a module is called in one way: %s',
    async (way) => {
      const { sign, generate, seen, took } = dispatcherOf(way);
      took.ms = 100;
      for (let run = 0; run < 3; run += 1) await sign();
      await generate(RSA);
      expect(seen).toEqual([...Array<string>(3).fill(`sign ${way}`), `generate ${way}`]);
    },
  );
});

test('sessions of all pools are counted together, and closed together', async () => {
  const { sign, generate, dispatcher } = dispatcherOf('inline', 'workers', 'generator');
  await Promise.all([sign(), generate(RSA)]);
  expect(dispatcher.status).toEqual({ open: 2, inUse: 0, waiting: 0 });
  await dispatcher.close();
  expect(dispatcher.status.open).toBe(0);
  await expect(async () => sign()).rejects.toMatchObject({ code: 'HsmUnavailable' });
});
