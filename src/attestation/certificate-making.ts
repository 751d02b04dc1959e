// The certificate library needs the polyfill to be there before it.
import 'reflect-metadata';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  type Extension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PublicKey,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { randomBytes, webcrypto } from 'node:crypto';
import type { CertificateRequest } from '../core/pool/certified-keys.ts';
import { toKeyObject } from './key-object.ts';

cryptoProvider.set(webcrypto);

const ALGORITHM = { name: 'RSASSA-PKCS1-v1_5', hash: 'SHA-256' } as const;
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const LIFETIME_MS = { root: 7_300 * DAY_MS, leaf: 730 * DAY_MS };

/** A certificate (DER) of a key that is in the HSM: the library puts it together, and the signature is asked of `sign`. */
export async function makeCertificate(request: CertificateRequest): Promise<Uint8Array> {
  const { publicKey, commonName, poolId, now, issuer } = request;
  const spki = toKeyObject(publicKey).export({ format: 'der', type: 'spki' });
  const subject = [{ O: ['Strongroom'] }, { OU: [poolId] }, { CN: [commonName] }];
  const issuedBy = issuer === undefined ? undefined : new X509Certificate(toArray(issuer));
  // From an hour ago, for clocks that are behind.
  const start = now.getTime() - HOUR_MS;
  const lifetime = issuer === undefined ? LIFETIME_MS.root : LIFETIME_MS.leaf;
  const certificate = await X509CertificateGenerator.create(
    {
      serialNumber: randomSerialNumber(),
      subject,
      issuer: issuedBy?.subjectName ?? subject,
      notBefore: new Date(start),
      notAfter: new Date(start + lifetime),
      publicKey: toArray(spki),
      signingKey: { algorithm: ALGORITHM },
      extensions: await extensions(new PublicKey(toArray(spki)), issuedBy),
    },
    signingBy(request),
  );
  return new Uint8Array(certificate.rawData);
}

async function extensions(
  publicKey: PublicKey,
  issuer: X509Certificate | undefined,
): Promise<Extension[]> {
  const subjectKey = await SubjectKeyIdentifierExtension.create(publicKey);
  if (issuer === undefined)
    return [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      subjectKey,
    ];
  return [
    new BasicConstraintsExtension(false, undefined, true),
    new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
    subjectKey,
    await AuthorityKeyIdentifierExtension.create(issuer),
  ];
}

/** The library takes the signature from a Web Crypto; this one's keys are in the HSM. */
function signingBy({ sign }: CertificateRequest): webcrypto.Crypto {
  const subtle = {
    sign: async (_algorithm: unknown, _key: unknown, data: ArrayBuffer) =>
      toArray(await sign(new Uint8Array(data))),
  };
  return { subtle } as unknown as webcrypto.Crypto;
}

function toArray(bytes: Uint8Array): ArrayBuffer {
  return new Uint8Array(bytes).buffer;
}

/** 128 random bits but for the first byte, which makes the number positive and of constant length. */
function randomSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}
