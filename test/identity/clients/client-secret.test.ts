import { randomBytes, scryptSync } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import { hintOf } from '../../../src/core/directory/directory.ts';
import {
  createSecretHasher,
  newClientSecret,
} from '../../../src/identity/clients/client-secret.ts';

/** Two are worked on and 64 wait. */
const ROOM = 66;

describe('a new client secret', () => {
  test('has 256 random bits behind a prefix that scanners can look for', () => {
    const secrets = Array.from({ length: 200 }, newClientSecret);
    expect(new Set(secrets).size).toBe(secrets.length);
    for (const secret of secrets) expect(secret).toMatch(/^srm_[A-Za-z0-9_-]{43}$/);
  });

  test('is hinted at by random characters, not by the prefix', () => {
    expect(
      new Set(Array.from({ length: 50 }, () => hintOf(newClientSecret()))).size,
    ).toBeGreaterThan(40);
  });
});

describe('a hashed secret', () => {
  const hasher = createSecretHasher();

  test('is kept in PHC string format, and holds nothing of the secret', async () => {
    const secret = newClientSecret();
    const hash = await hasher.hash(secret);
    expect(hash).toMatch(/^\$scrypt\$ln=15,r=8,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
    expect(hash).not.toContain(secret.slice(4));
  });

  test('is another one each time, and both verify', async () => {
    const [one, other] = await Promise.all([hasher.hash('secret'), hasher.hash('secret')]);
    expect(one).not.toBe(other);
    await expect(hasher.verify('secret', one)).resolves.toBe(true);
    await expect(hasher.verify('secret', other)).resolves.toBe(true);
  });

  test.each(['', 'secre', 'secret ', 'Secret'])('does not verify %j', async (wrong) => {
    const hash = await hasher.hash('secret');
    await expect(hasher.verify('secret', hash)).resolves.toBe(true);
    await expect(hasher.verify(wrong, hash)).resolves.toBe(false);
  });

  test.each([
    // RFC 7914 §12, third and second vectors, their first 32 bytes.
    [
      'pleaseletmein',
      14,
      'SodiumChloride',
      '7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2',
    ],
    ['password', 10, 'NaCl', 'fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162'],
  ])(
    'is computed as RFC 7914 has it, with the cost that stands in it: %s',
    async (secret, ln, salt, digest) => {
      const p = salt === 'NaCl' ? 16 : 1;
      const [saltText, hashText] = [Buffer.from(salt), Buffer.from(digest, 'hex')].map((bytes) =>
        bytes.toString('base64').replaceAll('=', ''),
      );
      const stored = `$scrypt$ln=${ln},r=8,p=${p}$${saltText}$${hashText}`;
      await expect(hasher.verify(secret, stored)).resolves.toBe(true);
      await expect(hasher.verify(`${secret}!`, stored)).resolves.toBe(false);
    },
  );

  test.each([
    '',
    'secret',
    '$2b$12$abcdefghijklmnopqrstuv',
    '$scrypt$ln=15,r=8,p=1$AAAA',
    '$scrypt$ln=1,r=8,p=1$AAAA$AAAA',
  ])('of the form %j verifies nothing', async (stored) => {
    await expect(hasher.verify('secret', stored)).resolves.toBe(false);
  });
});

describe('guessing', () => {
  const count = (outcomes: readonly PromiseSettledResult<boolean>[]) => ({
    refused: outcomes.filter(({ status }) => status === 'rejected').length,
    wrong: outcomes.filter((it) => it.status === 'fulfilled' && !it.value).length,
  });
  const overloaded = { code: 'Overloaded' };
  /** What stands in a hash says how costly it is: these cost a thirtieth of those that the service makes. */
  const cheapHash = (secret: string) => {
    const salt = randomBytes(16);
    const digest = scryptSync(secret, salt, 32, { N: 1024, r: 8, p: 1 });
    const [saltText, hashText] = [salt, digest].map((bytes) =>
      bytes.toString('base64').replaceAll('=', ''),
    );
    return `$scrypt$ln=10,r=8,p=1$${saltText ?? ''}$${hashText ?? ''}`;
  };

  test('in parallel finds a bounded queue, which serves again once it is empty', async () => {
    const hasher = createSecretHasher();
    const hash = cheapHash('secret');
    const guesses = Array.from({ length: 100 }, (_, n) => hasher.verify(`guess ${n}`, hash));
    expect(count(await Promise.allSettled(guesses))).toEqual({ refused: 100 - ROOM, wrong: ROOM });
    await expect(hasher.verify('secret', hash)).resolves.toBe(true);
  }, 120_000);

  test('does not lock out a client whose secret has been proved, nor does it help the guesser', async () => {
    const hasher = createSecretHasher();
    const [hash, other] = [cheapHash('secret'), cheapHash('another')];
    await expect(hasher.verify('secret', hash)).resolves.toBe(true);
    await expect(hasher.verify('wrong', hash)).resolves.toBe(false);
    const guesses = Array.from({ length: ROOM }, (_, n) => hasher.verify(`guess ${n}`, hash));

    // The queue is full: what is answered now was remembered, and what is refused was not.
    await expect(hasher.verify('secret', hash)).resolves.toBe(true);
    await expect(hasher.verify('wrong', hash)).rejects.toMatchObject(overloaded);
    await expect(hasher.verify('secret', other)).rejects.toMatchObject(overloaded);
    await Promise.all(guesses);
  }, 120_000);
});
