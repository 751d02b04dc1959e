import { expect, test } from '@jest/globals';
import { packBytes, unpackBytes } from '../../../src/core/keys/packed-bytes.ts';

const every = Uint8Array.from({ length: 256 }, (_, value) => value);

test('every byte comes back as it was', () => {
  expect(unpackBytes(packBytes(every))).toEqual(Buffer.from(every));
});

test('a piece of a larger array is packed without the rest of it', () => {
  expect(unpackBytes(packBytes(every.subarray(250)))).toEqual(
    Buffer.from([250, 251, 252, 253, 254, 255]),
  );
});

test('what is unpacked shares nothing: to change it changes no other', () => {
  const packed = packBytes(every);
  unpackBytes(packed).fill(0);
  expect(unpackBytes(packed)).toEqual(Buffer.from(every));
});
