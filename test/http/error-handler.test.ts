import { afterAll, beforeAll, beforeEach, describe, expect, test } from '@jest/globals';
import express from 'express';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { AuditDraft } from '../../src/core/audit/draft.ts';
import type { AuditRecord } from '../../src/core/audit/record.ts';
import { ServiceError } from '../../src/core/errors.ts';
import { setContext } from '../../src/http/context.ts';
import { createErrorHandler } from '../../src/http/error-handler.ts';

const REQUEST_ID = '7e57ab1e-0000-4000-8000-000000000000';
const SECRET = 'a secret that the cause holds';

let server: Server;
let base: string;
/** What the next request's handler throws. */
let thrown: unknown;
let isTrailBroken: boolean;
let records: AuditRecord[];
let later: AuditRecord[];
let logged: unknown[];

beforeAll(async () => {
  const app = express();
  app.use((_req, res, next) => {
    const now = () => new Date(0);
    setContext(res, {
      requestId: REQUEST_ID,
      headers: [],
      host: { authority: 'localhost', challenge: 'Bearer', pool: undefined },
      startedAt: 0,
      audit: new AuditDraft(now, { requestId: REQUEST_ID, operation: 'Test' }),
      audited: true,
      accept: undefined,
      principal: undefined,
      apiVersion: undefined,
      authenticate: undefined,
    });
    next(thrown);
  });
  const auditLog = {
    append: (record: AuditRecord) => {
      if (isTrailBroken) return Promise.reject(new Error('the disk is full'));
      records.push(record);
      return Promise.resolve();
    },
    appendLater: (record: AuditRecord) => {
      later.push(record);
    },
  };
  const log = {
    error: (details: unknown) => {
      logged.push(details);
    },
  };
  const refusals = { admit: () => true };
  app.use(
    createErrorHandler(
      auditLog,
      refusals,
      log as unknown as Parameters<typeof createErrorHandler>[2],
    ),
  );
  server = createServer(app).listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(async () => {
  await new Promise((resolve) => server.close(resolve));
});
beforeEach(() => {
  records = [];
  later = [];
  logged = [];
  isTrailBroken = false;
});

async function answer() {
  const response = await fetch(base);
  const body = (await response.json()) as {
    error: { code: string; message: string; innererror?: { code: string } };
  };
  return { response, body };
}

describe('errors that no test can cause at will', () => {
  test.each([
    ['Overloaded', 429, 'Throttled', '1'],
    ['HsmBusy', 503, 'HsmBusy', '1'],
    ['HsmUnavailable', 503, 'HsmUnavailable', '5'],
    ['StoreUnavailable', 503, 'StoreUnavailable', '5'],
    ['AuditUnavailable', 503, 'AuditUnavailable', '5'],
    ['KeyIntegrityViolation', 500, 'KeyIntegrityViolation', null],
    ['Conflict', 409, 'Conflict', null],
  ] as const)(
    '%s is a %i %s; what a client may repeat says after how long',
    async (kind, status, code, retryAfter) => {
      thrown = new ServiceError(kind, 'Words for the caller.', { cause: new Error(SECRET) });
      const { response, body } = await answer();
      expect([response.status, response.headers.get('retry-after'), body]).toEqual([
        status,
        retryAfter,
        { error: { code, message: `Words for the caller. (Activity ID: ${REQUEST_ID})` } },
      ]);
      const isWithheld = kind === 'StoreUnavailable' || kind === 'AuditUnavailable';
      expect([...records, ...later]).toEqual([
        expect.objectContaining({ status, errorCode: isWithheld ? 'AnswerWithheld' : code }),
      ]);
      // Our own faults are logged with their cause, a caller's are not.
      expect(logged).toHaveLength(status >= 500 ? 1 : 0);
    },
  );

  test.each([
    ['an Error', new Error(SECRET)],
    ['a TypeError', new TypeError(SECRET)],
    ['no error at all', SECRET],
    ['an object', { message: SECRET }],
  ])('%s that nobody foresaw is a 500 that says nothing', async (_what, error) => {
    thrown = error;
    const { response, body } = await answer();
    expect([response.status, body]).toEqual([
      500,
      {
        error: {
          code: 'InternalServerError',
          message: `An unexpected error occurred. (Activity ID: ${REQUEST_ID})`,
        },
      },
    ]);
    expect(logged).toHaveLength(1);
  });

  test('an error that cannot be recorded is not told: 503', async () => {
    isTrailBroken = true;
    thrown = new ServiceError('KeyNotFound', 'Words that must wait.');
    const { response, body } = await answer();
    expect([response.status, body.error.code]).toEqual([503, 'AuditUnavailable']);
    expect(body.error.message).not.toContain('must wait');
  });
});

describe('an answer that is withheld', () => {
  test.each([['StoreUnavailable'], ['AuditUnavailable']] as const)(
    'for %s is told to the audit log as soon as that takes records again',
    async (kind) => {
      thrown = new ServiceError(kind, 'Away.');
      expect((await answer()).response.status).toBe(503);
      expect(records).toEqual([]);
      expect(later).toMatchObject([
        { requestId: REQUEST_ID, status: 503, outcome: 'failure', errorCode: 'AnswerWithheld' },
      ]);
    },
  );

  test('since its refusal could not be recorded, likewise', async () => {
    thrown = new ServiceError('KeyNotFound', 'No.');
    isTrailBroken = true;
    expect((await answer()).response.status).toBe(503);
    expect(later).toMatchObject([{ status: 503, errorCode: 'AnswerWithheld' }]);
  });
});

test('a refused credential leaves the reason in the audit log', async () => {
  thrown = new ServiceError('Unauthenticated', 'The token has expired.');
  expect((await fetch(base)).status).toBe(401);
  expect(records).toMatchObject([{ status: 401, reason: 'The token has expired.' }]);
});
