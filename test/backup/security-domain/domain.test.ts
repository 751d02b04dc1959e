import { createPrivateKey, generateKeyPairSync, privateDecrypt, randomBytes } from 'node:crypto';
import { describe, expect, test } from '@jest/globals';
import {
  formatDomain,
  formatRestoreBlob,
  parseDomain,
  parseRestoreBlob,
} from '../../../src/backup/security-domain/domain-text.ts';
import { createEnvelopes } from '../../../src/backup/security-domain/envelopes.ts';
import {
  openRestoreBlob,
  sealRestoreBlob,
} from '../../../src/core/recovery/security-domain/restore-blob.ts';
import {
  openDomain,
  openShare,
  sealDomain,
} from '../../../src/core/recovery/security-domain/security-domain.ts';
import { azureDomain, type DomainJson, type Pair, PAIRS } from '../../support/azure-domain.ts';

const { custodians, transferKey, entries } = azureDomain;
const envelopes = createEnvelopes();
const parts = { envelopes, randomBytes };
const certificates = custodians.map(({ certificate }) => certificate);

const open = async (text: string, keys: readonly Pair[]) => {
  const domain = parseDomain(text);
  const shares = await Promise.all(
    keys.map(({ privateKey }) => openShare(envelopes, domain, privateKey)),
  );
  return openDomain(envelopes, domain, shares);
};
const keysOf = (indexes: readonly number[]) =>
  indexes.flatMap((index) => custodians.slice(index, index + 1));
const refusal = (message: string) => ({
  code: 'BadParameter',
  message: expect.stringContaining(message) as unknown,
});
/** As an HSM would, in which the transfer key's private half is. */
const unwrap = (wrapped: Uint8Array) =>
  new Promise<Uint8Array>((resolve) => {
    resolve(privateDecrypt({ key: transferKey.privateKey, oaepHash: 'sha256' }, wrapped));
  });
const ours = { thumbprint: transferKey.certificate.thumbprint, unwrap };

describe.each([
  ["that az's functions made", () => Promise.resolve(azureDomain.text)],
  ['of ours', async () => formatDomain(await sealDomain(parts, entries, certificates, 2))],
])('a domain %s', (_whose, make) => {
  test.each(PAIRS)('opens with the keys %i and %i', async (...pair) => {
    expect(await open(await make(), keysOf(pair))).toEqual(entries);
  });

  test('opens with all keys, and in another order', async () => {
    expect(await open(await make(), keysOf([2, 1, 0]))).toEqual(entries);
  });

  test('does not open with one', async () => {
    await expect(open(await make(), keysOf([1]))).rejects.toMatchObject(
      refusal('needs the keys of 2 custodians; there are 1'),
    );
  });

  test('does not open with one that is counted twice', async () => {
    await expect(open(await make(), keysOf([1, 1]))).rejects.toMatchObject(
      refusal('The same share is there twice.'),
    );
  });

  test('does not open with the key of nobody in it', async () => {
    await expect(open(await make(), [transferKey, ...keysOf([0])])).rejects.toMatchObject(
      refusal('It opens no share of this security domain'),
    );
  });

  test('becomes a restore blob, which the transfer key alone opens', async () => {
    const opened = await open(await make(), keysOf([0, 2]));
    const text = formatRestoreBlob(await sealRestoreBlob(parts, opened, transferKey.certificate));
    const blob = parseRestoreBlob(text);
    expect(await openRestoreBlob(envelopes, blob, ours)).toEqual(entries);
    const later = { ...ours, thumbprint: certificates[0]?.thumbprint ?? '' };
    await expect(openRestoreBlob(envelopes, blob, later)).rejects.toMatchObject(
      refusal('made for another transfer key'),
    );
  });
});

describe('what was altered is refused:', () => {
  /** One bit of a part of a compact JWE. */
  const flip = (envelope: string, part: number) =>
    envelope
      .split('.')
      .map((text, index) => {
        if (index !== part) return text;
        const bytes = Buffer.from(text, 'base64url');
        bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ 1;
        return bytes.toString('base64url');
      })
      .join('.');
  const alteredDomain = (alter: (json: DomainJson) => void) => {
    const json = azureDomain.json();
    alter(json);
    return JSON.stringify(json);
  };
  const share = (json: DomainJson, index: number) => json.SharedKeys.enc_shares[index] ?? fail();
  const entry = (json: DomainJson, index: number) => json.EncData.data[index] ?? fail();

  test.each([2, 3, 4])('part %i of an entry', async (part) => {
    const text = alteredDomain((json) => {
      entry(json, 1).compact_jwe = flip(entry(json, 1).compact_jwe, part);
    });
    await expect(open(text, keysOf([0, 1]))).rejects.toMatchObject(
      refusal('The shares do not open the domain.'),
    );
  });

  test('an entry under the name of another', async () => {
    const text = alteredDomain((json) => {
      const [first, second] = [entry(json, 0), entry(json, 1)];
      [first.tag, second.tag] = [second.tag, first.tag];
    });
    await expect(open(text, keysOf([0, 1]))).rejects.toMatchObject(
      refusal('The shares do not open the domain.'),
    );
  });

  test.each([1, 2, 3, 4])('part %i of a share', async (part) => {
    const text = alteredDomain((json) => {
      share(json, 0).enc_key = flip(share(json, 0).enc_key, part);
    });
    await expect(open(text, keysOf([0, 1]))).rejects.toMatchObject(refusal('It opens no share'));
    expect(await open(text, keysOf([1, 2]))).toEqual(entries);
  });

  test('a share of another domain with the same custodians', async () => {
    const other = formatDomain(await sealDomain(parts, entries, certificates, 2));
    const text = alteredDomain((json) => {
      share(json, 0).enc_key = share(JSON.parse(other) as DomainJson, 0).enc_key;
    });
    // The shares give some secret or none: either is found out.
    await expect(open(text, keysOf([0, 1]))).rejects.toMatchObject(
      refusal('is from another domain, or was altered'),
    );
    await expect(open(text, keysOf([0, 1, 2]))).rejects.toMatchObject(
      refusal('The shares do not belong together.'),
    );
    expect(await open(text, keysOf([1, 2]))).toEqual(entries);
  });

  test('a share that holds something else', async () => {
    const [custodian] = custodians;
    const envelope = await envelopes.sealTo(custodian.certificate.publicKey, randomBytes(62));
    const text = alteredDomain((json) => {
      share(json, 0).enc_key = envelope;
    });
    await expect(open(text, keysOf([0, 1]))).rejects.toMatchObject(refusal('that is no share'));
  });

  test.each([
    ['the wrapped secret', 0, 'WrappedKey'],
    ['the key of the wrapped secret', 1, 'WrappedKey'],
    ['the tag of the wrapped secret', 4, 'WrappedKey'],
    ['an entry', 3, 'EncData'],
  ] as const)('%s in a restore blob', async (_what, part, member) => {
    const blob = await sealRestoreBlob(parts, entries, transferKey.certificate);
    const [first, ...rest] = blob.entries;
    const altered =
      member === 'EncData'
        ? { ...blob, entries: [{ ...first, envelope: flip(first?.envelope ?? '', part) }, ...rest] }
        : {
            ...blob,
            wrappedMaster: {
              ...blob.wrappedMaster,
              envelope: flip(blob.wrappedMaster.envelope, part),
            },
          };
    const forgiving = (wrapped: Uint8Array) => unwrap(wrapped).catch(() => undefined);
    await expect(
      openRestoreBlob(envelopes, altered as typeof blob, { ...ours, unwrap: forgiving }),
    ).rejects.toMatchObject(refusal('does not open with the transfer key'));
  });
});

describe('a quorum', () => {
  const more = [...certificates, transferKey.certificate];

  test.each([
    [2, 2, 'A security domain has 3 to 10 custodians'],
    [3, 1, 'Of 3 custodians 2 to 3 can be required, not 1.'],
    [3, 4, 'Of 3 custodians 2 to 3 can be required, not 4.'],
    [3, 2.5, 'Of 3 custodians 2 to 3 can be required'],
    [3, NaN, 'Of 3 custodians 2 to 3 can be required'],
  ])('of %i custodians with %d required is refused', async (count, required, sentence) => {
    await expect(sealDomain(parts, entries, more.slice(0, count), required)).rejects.toMatchObject(
      refusal(sentence),
    );
  });

  test('of eleven is refused', async () => {
    const eleven = Array.from({ length: 11 }, () => transferKey.certificate);
    await expect(sealDomain(parts, entries, eleven, 2)).rejects.toMatchObject(
      refusal('A security domain has 3 to 10 custodians'),
    );
  });

  test('in which one holds two shares is refused', async () => {
    const twice = [...certificates.slice(0, 2), certificates[0] ?? fail()];
    await expect(sealDomain(parts, entries, twice, 2)).rejects.toMatchObject(
      refusal('Two of the certificates have the same key'),
    );
  });

  test('of all four opens with all of them alone', async () => {
    const text = formatDomain(await sealDomain(parts, entries, more, 4));
    expect(await open(text, [...custodians, transferKey])).toEqual(entries);
    await expect(open(text, custodians)).rejects.toMatchObject(refusal('of 4 custodians'));
  });
});

test("an entry gets no tag that Azure's clients don't read", async () => {
  for (const tag of ['', 'größe', 'x'.repeat(129)])
    await expect(
      sealDomain(parts, [{ tag, plaintext: Buffer.alloc(1) }], certificates, 2),
    ).rejects.toThrow(RangeError);
});

test.each([
  ['a key of an elliptic curve', () => generateKeyPairSync('ec', { namedCurve: 'P-256' })],
  ['a short RSA key', () => generateKeyPairSync('rsa', { modulusLength: 1024 })],
])('%s opens nothing, and says so', async (_what, generate) => {
  const privateKey = createPrivateKey(
    generate().privateKey.export({ type: 'pkcs8', format: 'pem' }),
  );
  await expect(
    openShare(envelopes, parseDomain(azureDomain.text), privateKey),
  ).rejects.toMatchObject(refusal('It is no RSA key of at least 2048 bits'));
});

test('the secret, its shares and the keys of entries are erased after use', async () => {
  const given: Uint8Array[] = [];
  const watched = {
    ...envelopes,
    sealTo: (...[key, bytes]: Parameters<typeof envelopes.sealTo>) => {
      given.push(bytes);
      return envelopes.sealTo(key, bytes);
    },
    seal: (...[key, name, bytes]: Parameters<typeof envelopes.seal>) => {
      given.push(key);
      return envelopes.seal(key, name, bytes);
    },
  };
  const random = (length: number) => {
    const bytes = randomBytes(length);
    if (length > 2) given.push(bytes);
    return bytes;
  };
  const watching = { envelopes: watched, randomBytes: random };
  await sealDomain(watching, entries, certificates, 2);
  await sealRestoreBlob(watching, entries, transferKey.certificate);
  expect(given).toHaveLength(1 + 3 + 2 + 1 + 1 + 2);
  expect(given.filter((bytes) => bytes.some((byte) => byte !== 0))).toEqual([]);
});

function fail(): never {
  throw new Error('The fixture has no such member.');
}
