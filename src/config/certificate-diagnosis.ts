import { X509Certificate } from 'node:crypto';
import { fault, type Finding, ok, warning } from '../core/diagnosis/finding.ts';
import type { TlsIdentity } from './setting-files.ts';

const DAY_MS = 86_400_000;
const RENEWED_DAYS = 30;
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;

/**
 * Looks at the server's certificate as clients will.
 * @param identity whose key has been found to be the certificate's
 * @param host by which clients call the pool
 */
export function examineCertificate(
  { certificate: pem }: Pick<TlsIdentity, 'certificate'>,
  host: string,
  now: Date,
): readonly Finding[] {
  const chain = (pem.match(CERTIFICATE) ?? []).map((each) => new X509Certificate(each));
  const [first] = chain;
  if (first === undefined) return [fault('certificate', 'There is no certificate in the file.')];
  const names = first.subjectAltName ?? '';
  return [
    first.checkHost(host) === undefined
      ? fault(
          'names',
          `The certificate isn't for ${host}, by which clients call: it is for ${names || 'no name'}.`,
        )
      : ok('names', `The certificate is for ${host} (${names}).`),
    ...describeDates(chain, now),
    ...describeChain(chain),
  ];
}

function describeDates(chain: readonly X509Certificate[], now: Date): Finding[] {
  return chain.map((certificate) => {
    const from = new Date(certificate.validFrom);
    const to = new Date(certificate.validTo);
    const days = Math.floor((to.getTime() - now.getTime()) / DAY_MS);
    const name = nameOf(certificate.subject);
    const subject = 'dates';
    if (from > now) return fault(subject, `${name} is not valid before ${from.toISOString()}.`);
    if (to <= now) return fault(subject, `${name} has been invalid since ${to.toISOString()}.`);
    const sentence = `${name} is valid for ${days} more days.`;
    return days < RENEWED_DAYS ? warning(subject, sentence) : ok(subject, sentence);
  });
}

/** Each must have been issued by the one after it; the last may be issued by an authority that clients know. */
function describeChain(chain: readonly X509Certificate[]): Finding[] {
  for (const [index, certificate] of chain.entries()) {
    const issuer = chain[index + 1];
    if (issuer !== undefined && !certificate.checkIssued(issuer))
      return [
        fault(
          'chain',
          `${nameOf(certificate.subject)} was not issued by ${nameOf(issuer.subject)}, which stands after it in the file.`,
        ),
      ];
  }
  const last = chain.at(-1);
  return [
    ok(
      'chain',
      `The file has ${chain.length === 1 ? 'one certificate' : `${chain.length} certificates`}; clients must know ${nameOf(last?.issuer ?? '')}.`,
    ),
  ];
}

/** The common name, else the whole on one line. */
function nameOf(distinguished: string): string {
  const common = /^CN=(?<name>.+)$/m.exec(distinguished)?.groups?.['name'];
  return common ?? distinguished.replaceAll('\n', ', ');
}
