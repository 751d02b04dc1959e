import { readFileSync } from 'node:fs';
import { expect, test } from '@jest/globals';
import { deriveEntryKey } from '../../../../src/core/recovery/security-domain/entry-key.ts';

/** Made by az's KDF.sp800_108, and the same by KBKDFHMAC of Python's `cryptography`. */
const { keys } = JSON.parse(
  readFileSync(new URL('./azure-vectors.json', import.meta.url), 'utf8'),
) as { keys: { master: string; tag: string; key: string }[] };

test.each(keys)('the key of the entry $tag is the one that az derives', ({ master, tag, key }) => {
  expect(deriveEntryKey(Buffer.from(master, 'hex'), tag)).toEqual(Buffer.from(key, 'hex'));
});
