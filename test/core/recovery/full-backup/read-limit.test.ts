import { expect, test } from '@jest/globals';
import { withReadLimit } from '../../../../src/core/recovery/full-backup/read-limit.ts';
import { MemoryStorage } from '../../../support/fakes/memory-storage.ts';

const LIMIT_MS = 30;

async function bytesOf(content: AsyncIterable<Uint8Array>): Promise<string> {
  const pieces: Uint8Array[] = [];
  for await (const piece of content) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function storageOf(read: () => AsyncGenerator<Uint8Array>) {
  const slow = new MemoryStorage();
  slow.read = read;
  return withReadLimit(slow, LIMIT_MS);
}

test('what comes is passed on to its end', async () => {
  async function* read() {
    yield await Promise.resolve(Buffer.from('one '));
    yield Buffer.from('two');
  }
  expect(await bytesOf(storageOf(read).read('a/data'))).toBe('one two');
});

test('a storage from which nothing comes any more is given up', async () => {
  async function* read() {
    yield Buffer.from('one');
    await new Promise(() => undefined);
  }
  await expect(bytesOf(storageOf(read).read('a/data'))).rejects.toMatchObject({
    code: 'StorageUnavailable',
    message: expect.stringContaining('memory has sent nothing'),
  });
});

test('what is not read to its end is let go of', async () => {
  let isOver = false;
  async function* read() {
    try {
      yield await Promise.resolve(Buffer.from('one'));
      yield Buffer.from('two');
    } finally {
      isOver = true;
    }
  }
  for await (const piece of storageOf(read).read('a/data')) {
    expect(Buffer.from(piece).toString()).toBe('one');
    break;
  }
  expect(isOver).toBe(true);
});
