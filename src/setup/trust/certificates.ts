// The certificate library needs the polyfill to be there before it.
import 'reflect-metadata';
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  cryptoProvider,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509Certificate,
  X509CertificateGenerator,
} from '@peculiar/x509';
import { createPrivateKey, KeyObject, randomBytes, webcrypto } from 'node:crypto';
import { isIP } from 'node:net';

cryptoProvider.set(webcrypto);

/** A certificate with its private key, both PEM. */
export interface Identity {
  readonly certificate: string;
  readonly privateKey: string;
}

const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
const USAGES: webcrypto.KeyUsage[] = ['sign', 'verify'];
const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const CA_LIFETIME_MS = 3_650 * DAY_MS;
/** Apple's systems trust no server certificate that is valid for longer than 398 days. */
const SERVER_LIFETIME_MS = 396 * DAY_MS;

/** Makes a certificate authority that can sign end certificates only, valid for ten years. */
export async function makeAuthority(commonName: string, now: Date): Promise<Identity> {
  const keys = await makeKeys();
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: randomSerialNumber(),
    name: [{ O: ['Strongroom'] }, { CN: [commonName] }],
    ...validity(now, CA_LIFETIME_MS),
    signingAlgorithm: ALGORITHM,
    keys,
    extensions: [
      new BasicConstraintsExtension(true, 0, true),
      new KeyUsagesExtension(KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign, true),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  return { certificate: pem(certificate), privateKey: exportKey(keys.privateKey) };
}

/** Makes a server's certificate for host names and addresses, signed by an authority, valid for 396 days. */
export async function makeServerIdentity(
  authority: Identity,
  names: readonly string[],
  now: Date,
): Promise<Identity> {
  const keys = await makeKeys();
  const issuer = new X509Certificate(authority.certificate);
  const signingKey = await importKey(authority.privateKey);
  const certificate = await X509CertificateGenerator.create({
    serialNumber: randomSerialNumber(),
    subject: [{ O: ['Strongroom'] }, { CN: ['Strongroom development server'] }],
    issuer: issuer.subjectName,
    ...validity(now, SERVER_LIFETIME_MS),
    signingAlgorithm: ALGORITHM,
    publicKey: keys.publicKey,
    signingKey,
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(KeyUsageFlags.digitalSignature, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.serverAuth]),
      new SubjectAlternativeNameExtension(
        names.map((value) => ({ type: isIP(value) === 0 ? 'dns' : 'ip', value })),
      ),
      await SubjectKeyIdentifierExtension.create(keys.publicKey),
      await AuthorityKeyIdentifierExtension.create(issuer),
    ],
  });
  return { certificate: pem(certificate), privateKey: exportKey(keys.privateKey) };
}

async function makeKeys(): Promise<webcrypto.CryptoKeyPair> {
  return webcrypto.subtle.generateKey(ALGORITHM, true, USAGES);
}

function exportKey(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ format: 'pem', type: 'pkcs8' }) as string;
}

async function importKey(text: string): Promise<webcrypto.CryptoKey> {
  const der = createPrivateKey(text).export({ format: 'der', type: 'pkcs8' });
  return webcrypto.subtle.importKey('pkcs8', der, ALGORITHM, false, ['sign']);
}

function pem(certificate: X509Certificate): string {
  return `${certificate.toString('pem')}\n`;
}

/** From an hour ago, for clocks that are behind. */
function validity(now: Date, lifetimeMs: number): { notBefore: Date; notAfter: Date } {
  const start = now.getTime() - HOUR_MS;
  return { notBefore: new Date(start), notAfter: new Date(start + lifetimeMs) };
}

/** 128 random bits but for the first byte, which makes the number positive and of constant length. */
function randomSerialNumber(): string {
  const bytes = randomBytes(16);
  bytes.writeUInt8((bytes.readUInt8(0) & 0x3f) | 0x40, 0);
  return bytes.toString('hex');
}
