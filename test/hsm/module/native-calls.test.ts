import { expect, test } from '@jest/globals';
import { NativeCalls } from '../../../src/hsm/module/native-calls.ts';

const calls = new NativeCalls({ deadlineMs: 20_000, onHang: () => undefined, takesTurns: true });

test('a call that fails inline is told of, and the next one runs', async () => {
  const failing = {
    inline: () => {
      throw new Error('CKR_DEVICE_ERROR');
    },
    offLoop: () => undefined,
  };
  await expect(calls.run('verify', 'fast', failing)).rejects.toThrow('CKR_DEVICE_ERROR');
  await expect(
    calls.run('verify', 'fast', { inline: () => 7, offLoop: () => undefined }),
  ).resolves.toBe(7);
});
