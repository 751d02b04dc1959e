import { createHash, X509Certificate } from 'node:crypto';
import type { CertificateCredential } from './directory.ts';
import { ServiceError } from '../errors.ts';

/** A certificate to be registered, or the id of one that stays. */
export interface RequestedCertificate {
  readonly keyId?: string;
  readonly displayName?: string;
  /** X.509, in DER or PEM. */
  readonly certificate?: Uint8Array;
  /** The certificate's own dates hold besides. */
  readonly startsAt?: Date;
  readonly endsAt?: Date;
}

const LIMIT = 20;
const LEAST_RSA_BITS = 2048;

/**
 * What an application's certificates are to be: new ones are read, and one that is named by its key id alone stays as it is.
 * @throws ServiceError BadParameter
 */
export function registerCertificates(
  requested: readonly RequestedCertificate[],
  present: readonly CertificateCredential[],
  newGuid: () => string,
): readonly CertificateCredential[] {
  if (requested.length > LIMIT)
    throw wrong(`An application can have at most ${LIMIT} certificates.`);
  const registered = requested.map((one) => {
    if (one.certificate !== undefined)
      return register(one, one.certificate, one.keyId ?? newGuid());
    const kept = present.find(({ keyId }) => keyId === one.keyId);
    if (kept === undefined) throw wrong('Property keyCredentials.key is missing.');
    return kept;
  });
  for (const name of [nameOf, thumbprintOf])
    if (new Set(registered.map(name)).size < registered.length)
      throw wrong('Property keyCredentials holds the same certificate or keyId twice.');
  return registered;
}

/** As records of changes have it. */
export function outlineCertificate(credential: CertificateCredential) {
  const { keyId, displayName, startsAt, endsAt } = credential;
  return { keyId, displayName, thumbprint: thumbprintOf(credential), startsAt, endsAt };
}

const nameOf = ({ keyId }: CertificateCredential) => keyId;
const thumbprintOf = ({ thumbprint }: CertificateCredential) =>
  Buffer.from(thumbprint).toString('hex');

function register(
  { displayName, startsAt, endsAt }: RequestedCertificate,
  bytes: Uint8Array,
  keyId: string,
): CertificateCredential {
  const read = readCertificate(bytes);
  const starts = startsAt !== undefined && startsAt > read.validFrom ? startsAt : read.validFrom;
  const ends = endsAt !== undefined && endsAt < read.validTo ? endsAt : read.validTo;
  if (ends <= starts)
    throw wrong('The certificate ends before it begins, by its own dates and the requested ones.');
  return {
    keyId,
    ...(displayName !== undefined && { displayName }),
    certificate: read.raw,
    thumbprint: createHash('sha256').update(read.raw).digest(),
    startsAt: starts,
    endsAt: ends,
  };
}

/** @throws ServiceError BadParameter for bytes that hold no certificate, or one that nobody can sign in with */
function readCertificate(bytes: Uint8Array) {
  let raw: Buffer;
  let dates: readonly [string, string];
  let type: string | undefined;
  let bits: number | undefined;
  // The key is decoded when it is asked for, and can be garbage in a certificate that parses.
  try {
    const read = new X509Certificate(bytes);
    raw = read.raw;
    dates = [read.validFrom, read.validTo];
    type = read.publicKey.asymmetricKeyType;
    bits = read.publicKey.asymmetricKeyDetails?.modulusLength;
  } catch (cause) {
    throw wrong('Property key holds no X.509 certificate.', cause);
  }
  if (type !== 'ec' && (type !== 'rsa' || (bits ?? 0) < LEAST_RSA_BITS))
    throw wrong(
      `The certificate must hold an RSA key of at least ${LEAST_RSA_BITS} bits, or an EC key.`,
    );
  return { raw, validFrom: readDate(dates[0]), validTo: readDate(dates[1]) };
}

/** As OpenSSL prints a time; what it can't read it prints as "Bad time value". */
const TIME = /^[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d (?<year>\d{4}) GMT$/;
/** UTCTime begins here (RFC 5280 §4.1.2.5.1), and JavaScript takes a year below 100 for another. */
const FIRST_YEAR = 1950;

function readDate(text: string): Date {
  const date = new Date(text);
  if (Number(TIME.exec(text)?.groups?.['year'] ?? 0) < FIRST_YEAR || Number.isNaN(date.getTime()))
    throw wrong('The certificate has a date that cannot be read.');
  return date;
}

function wrong(message: string, cause?: unknown): ServiceError {
  return new ServiceError('BadParameter', message, { cause });
}
