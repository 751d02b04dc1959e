import { createHmac, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { LRUCache } from 'lru-cache';
import type { SecretHasher } from '../../core/directory/ports.ts';
import { createFairLimit } from './fair-limit.ts';
import { trimEnd } from '../../core/trim-end.ts';

const derive = promisify<string, Buffer, number, object, Buffer>(scrypt);

/** 2^15 x 8 x 128 bytes = 32 MiB and some 60 ms a try. Client secrets are random, so this is a second wall. */
const COST = { ln: 15, r: 8, p: 1 };
type ScryptCost = typeof COST;
const HASH_BYTES = 32;
const MAX_MEMORY = 64 * 1024 ** 2;
const FORMAT =
  /^\$scrypt\$ln=(?<ln>\d{1,2}),r=(?<r>\d{1,2}),p=(?<p>\d{1,2})\$(?<salt>[\w+/]+)\$(?<hash>[\w+/]+)$/;

/** Attempts to guess a secret must not fill the memory or libuv's threads, which the HSM's calls need too. */
const AT_ONCE = 2;
const WAITING_LIMIT = 64;
/** The place in the queue of work that no client waits for: a new secret is made for somebody who has signed in. */
const OWN = { of: '', class: 'known' } as const;
/** A client that asks for tokens again and again proves its secret the slow way once in a while only. */
const REMEMBERED = { max: 10_000, ttl: 300_000 };
const SECRET_BYTES = 32;

/** 256 random bits behind a prefix by which scanners find leaked ones. */
export function newClientSecret(): string {
  return `srm_${randomBytes(SECRET_BYTES).toString('base64url')}`;
}

/** scrypt (RFC 7914) in PHC string format, with a fresh salt for each secret. @param cost of new secrets */
export function createSecretHasher(cost: ScryptCost = COST): SecretHasher {
  // What is remembered is a keyed digest under a key of this process: it says nothing about the secret.
  const processKey = randomBytes(32);
  const remembered = new LRUCache<string, true>(REMEMBERED);
  const limited = createFairLimit({ atOnce: AT_ONCE, waiting: WAITING_LIMIT });

  return {
    hash: (secret) =>
      limited(OWN, async () => {
        const salt = randomBytes(16);
        const hash = await compute(secret, salt, cost);
        const { ln, r, p } = cost;
        return `$scrypt$ln=${ln},r=${r},p=${p}$${unpadded(salt)}$${unpadded(hash)}`;
      }),

    async verify(secret, stored, ticket) {
      const mark = createHmac('sha256', processKey)
        .update(stored)
        .update('\0')
        .update(secret)
        .digest('base64');
      if (remembered.has(mark)) return true;
      const parts = FORMAT.exec(stored)?.groups;
      if (parts === undefined) return false;
      const { ln, r, p, salt = '', hash = '' } = parts;
      const expected = Buffer.from(hash, 'base64');
      const actual = await limited(ticket ?? OWN, async () => {
        await ticket?.begin();
        const cost = { ln: Number(ln), r: Number(r), p: Number(p) };
        return compute(secret, Buffer.from(salt, 'base64'), cost);
      });
      const isRight = expected.length === actual.length && timingSafeEqual(expected, actual);
      if (isRight) remembered.set(mark, true);
      return isRight;
    },
  };
}

function compute(secret: string, salt: Buffer, { ln, r, p }: ScryptCost): Promise<Buffer> {
  return derive(secret, salt, HASH_BYTES, { N: 2 ** ln, r, p, maxmem: MAX_MEMORY });
}

function unpadded(bytes: Buffer): string {
  return trimEnd(bytes.toString('base64'), '=');
}
