import { createHash } from 'node:crypto';
import { createCertificates } from '../../attestation/certificates.ts';
import {
  readRsaCertificate,
  type RsaCertificate,
} from '../../core/recovery/security-domain/rsa-certificate.ts';
import { type BareHsm, openBareHsm } from '../../hsm/bare-hsm.ts';
import type { CliContext } from '../cli-context.ts';
import { pkcs11Of } from '../pkcs11-settings.ts';
import { fingerprintOf } from './fingerprint.ts';
import { naming, reserveNewFile } from './named-file.ts';

export interface TransferKeyOptions {
  readonly out: string;
}

/** `strongroom security-domain transfer-key`: on an HSM that no pool uses yet, without a database. */
export async function makeTransferKey(
  context: CliContext,
  { out }: TransferKeyOptions,
): Promise<void> {
  // The key that there is goes when a new one is made: before that, the file has to be ours.
  const file = await reserveNewFile(out);
  let made: RsaCertificate;
  let label: string;
  try {
    const hsm = openBareHsm(await pkcs11Of(context));
    try {
      ({ label } = hsm);
      made = await naming(label, () => makeOn(hsm));
    } finally {
      hsm.close();
    }
  } catch (error) {
    await file.discard();
    throw error;
  }
  await file.write(pemOf(made.der));
  context.print(
    `${out} is the certificate of a transfer key, whose private half is in the token "${label}" for 24 hours: bring it to the custodians, and what they make with it to \`strongroom security-domain restore\`.`,
  );
  context.print(`SHA-256: ${fingerprintOf(made)}`);
}

async function makeOn(hsm: BareHsm): Promise<RsaCertificate> {
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
}

function pemOf(der: Uint8Array): string {
  const lines =
    Buffer.from(der)
      .toString('base64')
      .match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}
