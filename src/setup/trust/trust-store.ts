import type { X509Certificate } from 'node:crypto';
import { BmpString, ObjectIdentifier, OctetString } from 'asn1js';
import {
  Attribute,
  AuthenticatedSafe,
  CertBag,
  CryptoEngine,
  PFX,
  SafeBag,
  SafeContents,
} from 'pkijs';

/** RFC 7292 §4.2.3 and RFC 2985 §5.5.1. */
const CERTIFICATE_BAG = '1.2.840.113549.1.12.10.1.3';
const X509_CERTIFICATE = '1.2.840.113549.1.9.22.1';
const FRIENDLY_NAME = '1.2.840.113549.1.9.20';
/** Java takes a certificate without a key for a trusted one only where it carries Oracle's attribute (JDK-4962305). */
const TRUSTED_KEY_USAGE = '2.16.840.1.113894.746875.1.1';
const ANY_EXTENDED_KEY_USAGE = '2.5.29.37.0';
const ITERATIONS = 10_000;
/** How PKI.js numbers the integrity and privacy modes of RFC 7292 §3.1. */
const MAC_BY_PASSWORD = 0;
const NOT_ENCRYPTED = 0;

/**
 * Makes a PKCS#12 trust store as Java reads it, each certificate under the alias that it is given. The certificates aren't
 * encrypted, since they are public. The MAC is by SHA-1, the only one that every Java 8 knows: what it protects from is
 * damage, since the password is public as well.
 */
export async function makeTrustStore(
  certificates: ReadonlyMap<string, X509Certificate>,
  password: string,
): Promise<Uint8Array> {
  const safeBags = [...certificates].map(
    ([alias, { raw }]) =>
      new SafeBag({
        bagId: CERTIFICATE_BAG,
        bagValue: new CertBag({
          certId: X509_CERTIFICATE,
          certValue: new OctetString({ valueHex: raw }),
        }),
        bagAttributes: [
          new Attribute({ type: FRIENDLY_NAME, values: [new BmpString({ value: alias })] }),
          new Attribute({
            type: TRUSTED_KEY_USAGE,
            values: [new ObjectIdentifier({ value: ANY_EXTENDED_KEY_USAGE })],
          }),
        ],
      }),
  );
  const engine = new CryptoEngine({ crypto: globalThis.crypto });
  const safe = new AuthenticatedSafe({
    parsedValue: {
      safeContents: [{ privacyMode: NOT_ENCRYPTED, value: new SafeContents({ safeBags }) }],
    },
  });
  await safe.makeInternalValues({ safeContents: [{}] }, engine);
  const store = new PFX({
    parsedValue: { integrityMode: MAC_BY_PASSWORD, authenticatedSafe: safe },
  });
  await store.makeInternalValues(
    {
      password: new TextEncoder().encode(password).buffer,
      iterations: ITERATIONS,
      pbkdf2HashAlgorithm: 'SHA-1',
      hmacHashAlgorithm: 'SHA-1',
    },
    engine,
  );
  return new Uint8Array(store.toSchema().toBER());
}
