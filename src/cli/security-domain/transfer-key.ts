import { createHash } from 'node:crypto';
import { createCertificates } from '../../attestation/certificates.ts';
import { readRsaCertificate } from '../../core/recovery/security-domain/rsa-certificate.ts';
import { openBareHsm } from '../../hsm/bare-hsm.ts';
import type { CliContext } from '../cli-context.ts';
import { pkcs11Of } from '../pkcs11-settings.ts';
import { fingerprintOf } from './fingerprint.ts';
import { naming, writeNewFile } from './named-file.ts';

export interface TransferKeyOptions {
  readonly out: string;
}

/** `strongroom security-domain transfer-key`: on an HSM that no pool uses yet, without a database. */
export async function makeTransferKey(
  context: CliContext,
  { out }: TransferKeyOptions,
): Promise<void> {
  const hsm = openBareHsm(await pkcs11Of(context));
  try {
    const certificate = await naming(hsm.label, async () => {
      const now = new Date();
      const { publicKey, sign } = await hsm.makeTransferKey(now);
      const der = await createCertificates().make({
        commonName: 'transfer-key',
        poolId: hsm.label,
        publicKey,
        now,
        sign: (bytes) => sign(createHash('sha256').update(bytes).digest()),
      });
      return readRsaCertificate(der);
    });
    try {
      await writeNewFile(out, pemOf(certificate.der));
    } catch (error) {
      // Nobody has the certificate.
      await hsm.destroyTransferKeys();
      throw error;
    }
    context.print(
      `${out} is the certificate of a transfer key, whose private half is in the token "${hsm.label}" for 24 hours: bring it to the custodians, and what they make with it to \`strongroom security-domain restore\`.`,
    );
    context.print(`SHA-256: ${fingerprintOf(certificate)}`);
  } finally {
    hsm.close();
  }
}

function pemOf(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
