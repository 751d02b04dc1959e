import { randomUUID } from 'node:crypto';
import { formatCertificateJwk } from '../../backup/security-domain/certificate-jwk.ts';
import { openPromoter } from '../../compose/root-keys.ts';
import { openSecurityDomain } from '../../compose/security-domain.ts';
import { readRsaCertificate } from '../../core/recovery/security-domain/rsa-certificate.ts';
import { AuditDraft } from '../../core/audit/draft.ts';
import { systemClock } from '../../core/clock.ts';
import { ServiceError } from '../../core/errors.ts';
import { OperatorError } from '../../core/operator-error.ts';
import { createLog } from '../../observability/log.ts';
import type { CliContext } from '../cli-context.ts';
import type { Promotion } from '../../core/recovery/root-keys/pending-generation.ts';
import { openPoolOf } from '../open-pool.ts';
import { readNamedFile, reserveNewFile } from './named-file.ts';

export interface DownloadOptions {
  readonly certificate: readonly string[];
  readonly required: number;
  readonly out: string;
}

/** `strongroom security-domain download`: works on the database and the HSM, beside the service or without it. */
export async function downloadDomain(context: CliContext, options: DownloadOptions): Promise<void> {
  const { print } = context;
  const certificates: object[] = [];
  for (const path of options.certificate)
    certificates.push(
      await readNamedFile(path, (bytes) => formatCertificateJwk(readRsaCertificate(bytes))),
    );
  const log = createLog(context.readSettings().config.logLevel);
  const opened = await openPoolOf(context, log);
  let promotion: Promotion;
  try {
    // Before there are new root keys, which a file that can't be written would leave without a domain.
    const file = await reserveNewFile(options.out);
    const domain = openSecurityDomain({
      context: opened.context,
      pool: opened.pool,
      hsm: opened.hsm,
      clear: opened.clearCeremony,
      on: {
        // The service does that, or `root-keys rotate`.
        onNewRootKeys: () => undefined,
        onUploaded: () => Promise.resolve(),
        onFault: (error) => {
          log.error({ err: error }, 'the root keys of a new security domain are not in use yet');
        },
      },
    });
    const change = new AuditDraft(systemClock.now, {
      requestId: randomUUID(),
      operation: 'SecurityDomainBackup',
    });
    const asked = { certificates, required: options.required };
    try {
      await file.write(await domain.download(asked, change));
    } catch (error) {
      await file.discard();
      if (error instanceof ServiceError) throw new OperatorError(error.message, { cause: error });
      throw error;
    }
    promotion = await openPromoter(opened.context, opened.hsm, { isAlone: false }).attempt();
    opened.context.chain.end();
    await opened.signedLog.checkpoints([opened.context.chain]).sign();
  } finally {
    await opened.close();
  }
  print(
    `${options.out} is the security domain of the pool: ${options.required} of ${certificates.length} custodians open it. Keep copies in several places.`,
  );
  print(
    promotion.kind === 'waiting' && promotion.awaited.length > 0
      ? `It holds new root keys, which become the current ones once the HSMs of these replicas hold them: ${promotion.awaited.join(', ')}. Restore it there (\`strongroom security-domain restore\`), and keep the security domain from before until then.`
      : 'It holds new root keys, by which a running service wraps everything within minutes; where none runs, `strongroom root-keys rotate` does it. Security domains from before open nothing that is sealed from now on.',
  );
}
