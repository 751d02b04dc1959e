import { createHash, X509Certificate } from 'node:crypto';
import { errors, jwtVerify } from 'jose';
import { LRUCache } from 'lru-cache';
import type { Application, CertificateCredential } from '../../core/directory/directory.ts';
import type { CredentialStore } from '../../core/directory/ports.ts';
import type { Clock } from '../../core/clock.ts';
import type { FederatedIssuers } from '../issuers/federated-issuers.ts';
import type { IssuerKeys } from '../issuers/issuer-keys.ts';
import { ASYMMETRIC, choosesItsKey, peek, type UnverifiedJwt } from '../tokens/jwt.ts';
import { UnusableKeyError } from '../tokens/key-choice.ts';
import { Refusal } from '../refusal.ts';
import { trimEnd } from '../../core/trim-end.ts';

export interface AssertionParts {
  readonly credentials: Pick<
    CredentialStore,
    'listCertificates' | 'listFederated' | 'noteFederatedUse'
  >;
  readonly issuerKeys: IssuerKeys;
  readonly federatedIssuers: Pick<FederatedIssuers, 'placeOf'>;
  /** Whether a URL is this directory: its token endpoint or its issuer. */
  readonly isOwnUrl: (url: string) => boolean;
  readonly clock: Clock;
}

/** @throws Refusal unless the assertion proves that its bearer is this application */
export type VerifyAssertion = (
  application: Application,
  assertion: string,
) => Promise<'certificate' | 'federated'>;

/** RFC 7523 §2.2. */
export const ASSERTION_TYPE = 'urn:ietf:params:oauth:client-assertion-type:jwt-bearer';

const CLOCK_TOLERANCE_SECONDS = 60;
/** Microsoft's libraries make them for ten minutes. */
const LIFETIME_LIMIT_SECONDS = 3600;
/** Microsoft's libraries use one assertion again until it expires, so once is not enough; this bounds a stolen one. */
const USES_LIMIT = 100;
const REMEMBERED = 50_000;

interface Use {
  readonly digest: string;
  count: number;
}

/**
 * Client assertions (RFC 7523 §3): an application's own, signed with a registered certificate's key (PS256 or RS256), or
 * another issuer's token that a federated credential stands for. Nothing is fetched that the directory doesn't name.
 */
export function createAssertionCheck(parts: AssertionParts): VerifyAssertion {
  const { credentials, issuerKeys, federatedIssuers, isOwnUrl, clock } = parts;
  const uses = new LRUCache<string, Use>({
    max: REMEMBERED,
    ttl: (LIFETIME_LIMIT_SECONDS + 2 * CLOCK_TOLERANCE_SECONDS) * 1000,
  });

  /** Ids of federated credentials whose first use is noted. */
  const used = new LRUCache<string, true>({ max: REMEMBERED });

  async function verifyOwn(
    application: Application,
    assertion: string,
    { header, claims }: UnverifiedJwt,
  ): Promise<void> {
    const certificate = (await credentials.listCertificates(application.id)).find((one) =>
      isNamed(one, header),
    );
    if (certificate === undefined)
      throw refused(700027, 'The certificate that signed the assertion is not registered.');
    const now = clock.now();
    if (now < certificate.startsAt || now >= certificate.endsAt)
      throw refused(700027, 'The certificate that signed the assertion is not valid at this time.');
    const { publicKey } = new X509Certificate(certificate.certificate);
    if (publicKey.asymmetricKeyType !== 'rsa')
      throw refused(700027, 'Assertions are signed with RSA keys.');
    const audiences = [claims.aud ?? []].flat();
    if (audiences.length !== 1 || !isOwnUrl(audiences[0] ?? ''))
      throw refused(700023, 'The assertion is for another audience.');
    const seconds = now.getTime() / 1000;
    await checked(() =>
      jwtVerify(assertion, publicKey, {
        algorithms: ['PS256', 'RS256'],
        issuer: claims.iss ?? '',
        subject: claims.sub ?? '',
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: now,
        requiredClaims: ['aud', 'exp', 'iss', 'sub', 'jti'],
      }),
    );
    if ((claims.exp ?? 0) > seconds + LIFETIME_LIMIT_SECONDS + CLOCK_TOLERANCE_SECONDS)
      throw refused(700024, 'The assertion is good for longer than an hour.');
    countUse(application, assertion, claims.jti ?? '');
  }

  /** The same `jti` must not come with another assertion, nor the same assertion without end. */
  function countUse(application: Application, assertion: string, jti: string): void {
    const digest = createHash('sha256').update(assertion).digest('base64');
    const name = createHash('sha256').update(`${application.appId}\0${jti}`).digest('base64');
    const known = uses.get(name);
    if (known === undefined) {
      uses.set(name, { digest, count: 1 });
      return;
    }
    known.count += 1;
    if (known.digest !== digest || known.count > USES_LIMIT)
      throw refused(50027, 'The assertion has been used before.');
  }

  async function verifyFederated(
    application: Application,
    assertion: string,
    { header, claims }: UnverifiedJwt,
  ): Promise<void> {
    const audiences = [claims.aud ?? []].flat();
    const credential = (await credentials.listFederated(application.id)).find(
      ({ issuer, subject, audience }) =>
        issuer === claims.iss && subject === claims.sub && audiences.includes(audience),
    );
    if (credential === undefined)
      throw refused(
        700213,
        'No federated identity credential has the issuer, subject and audience of the assertion.',
      );
    const { issuer, subject, audience } = credential;
    const keys = await issuerKeys(federatedIssuers.placeOf(issuer), header.kid).catch(
      (cause: unknown) => {
        throw refused(50166, "The keys of the assertion's issuer cannot be read.", cause);
      },
    );
    await checked(() =>
      jwtVerify(assertion, keys, {
        algorithms: [...ASYMMETRIC],
        issuer,
        subject,
        audience,
        clockTolerance: CLOCK_TOLERANCE_SECONDS,
        currentDate: clock.now(),
        requiredClaims: ['exp'],
      }),
    );
    if (used.has(credential.id)) return;
    await credentials.noteFederatedUse(application.id, credential.id);
    used.set(credential.id, true);
  }

  return async (application, assertion) => {
    const read = peek(assertion);
    if (read === undefined || choosesItsKey(read.header))
      throw refused(50027, 'The assertion is no JWT that is accepted.');
    const { iss, sub } = read.claims;
    const appId = application.appId;
    if (iss?.toLowerCase() === appId && sub?.toLowerCase() === appId) {
      await verifyOwn(application, assertion, read);
      return 'certificate';
    }
    await verifyFederated(application, assertion, read);
    return 'federated';
  };
}

/** By its SHA-256 thumbprint, or the SHA-1 one where that is all the client gives: the signature proves the rest. */
function isNamed(
  { certificate, thumbprint }: CertificateCredential,
  header: UnverifiedJwt['header'],
): boolean {
  const sha256 = header['x5t#S256'];
  if (sha256 !== undefined) return Buffer.from(thumbprint).toString('base64url') === sha256;
  if (header.x5t === undefined) return false;
  return createHash('sha1').update(certificate).digest('base64url') === unpadded(header.x5t);
}

function unpadded(text: string): string {
  return trimEnd(text.replaceAll('+', '-').replaceAll('/', '_'), '=');
}

async function checked<T>(verify: () => Promise<T>): Promise<T> {
  try {
    return await verify();
  } catch (error) {
    const isLate =
      error instanceof errors.JWTExpired ||
      (error instanceof errors.JWTClaimValidationFailed && error.claim === 'nbf');
    // Others than jose's own are of the key: its issuer has published what is of no use.
    throw isLate
      ? refused(700024, 'The assertion is not within its valid time range.', error)
      : refused(
          700027,
          error instanceof UnusableKeyError
            ? error.message
            : 'The signature or a claim of the assertion is not valid.',
          error,
        );
  }
}

function refused(number: number, message: string, cause?: unknown): Refusal {
  const refusal = new Refusal(401, 'invalid_client', number, message);
  refusal.cause = cause;
  return refusal;
}
