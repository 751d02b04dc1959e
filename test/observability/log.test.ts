import { beforeEach, describe, expect, test } from '@jest/globals';
import { createHash, createHmac, randomUUID } from 'node:crypto';
import { createLog } from '../../src/observability/log.ts';

interface Line {
  readonly msg: string;
  readonly err?: {
    readonly type: string;
    readonly message: string;
    readonly code?: string;
    readonly stack: string[];
    readonly cause?: Line['err'];
  };
}

let text: string;
const destination = {
  write(line: string) {
    text += line;
  },
};
const written = () => JSON.parse(text) as Line & Record<string, unknown>;

beforeEach(() => {
  text = '';
});

describe('a log line', () => {
  test('holds the fields that are known, and no other', () => {
    createLog('info', destination).info(
      { requestId: 'r', status: 200, body: { value: 'plaintext' }, authorization: 'Bearer x' },
      'answered',
    );
    expect(Object.keys(written()).sort()).toEqual(
      ['hostname', 'level', 'msg', 'pid', 'requestId', 'status', 'time'].sort(),
    );
  });

  test('holds of an error its class, code, message, places and causes, and nothing hung onto it', () => {
    const cause = Object.assign(new TypeError('duplicate key'), {
      code: '23505',
      detail: 'Key (secret)=(hunter2) already exists.',
      parameters: ['hunter2'],
    });
    createLog('info', destination).error({ err: new Error('failed', { cause }) }, 'failed');
    const { err } = written();
    expect(err).toMatchObject({
      type: 'Error',
      message: 'failed',
      cause: { type: 'TypeError', code: '23505', message: 'duplicate key' },
    });
    expect(err?.stack[0]).toMatch(/^at .*log\.test/);
    expect(text).not.toContain('hunter2');
  });

  test('holds what was thrown without being an error only by its type', () => {
    createLog('info', destination).error({ err: 'hunter2' }, 'failed');
    expect(written().err).toEqual({ type: 'string' });
  });

  test('ends, however long the message and the chain of causes are', () => {
    const looping = new Error('word '.repeat(1_000_000));
    looping.cause = looping;
    createLog('info', destination).error({ err: looping }, 'failed');
    expect(text.length).toBeLessThan(20_000);
  });

  test('is not written below the level', () => {
    createLog('warn', destination).info({}, 'answered');
    expect(text).toBe('');
  });
});

const key = createHash('sha256').update('key').digest();
const token = [
  Buffer.from('{"alg":"PS256","typ":"JWT"}').toString('base64url'),
  Buffer.from(`{"sub":"${randomUUID()}","exp":1}`).toString('base64url'),
  createHmac('sha256', key).update('x').digest('base64url'),
].join('.');

test.each([
  ['hexadecimal', key.toString('hex')],
  ['base64', key.toString('base64')],
  ['base64url', key.toString('base64url')],
  ['a token', token],
  ['a password in a URL', 'postgres://owner:hunter2@db/strongroom', 'owner:hunter2'],
])("%s in a library's message is left out", (_what, quoted, secret = quoted) => {
  createLog('info', destination).error({ err: new Error(`cannot use ${quoted} here`) }, 'failed');
  expect(written().err?.message).toMatch(/^cannot use .*\[left out\].* here$/);
  for (const part of secret.split('.')) expect(text).not.toContain(part);
});

test.each([
  ['a GUID', randomUUID()],
  ['a path', '/var/lib/strongroom/pools/default/softhsm2/tokens'],
  ['a name', 'CKR_SESSION_READ_ONLY_EXISTS_CKR_SESSION_HANDLE_INVALID'],
])('%s in a message stays', (_what, quoted) => {
  createLog('info', destination).error({ err: new Error(`cannot use ${quoted}`) }, 'failed');
  expect(written().err?.message).toBe(`cannot use ${quoted}`);
});
