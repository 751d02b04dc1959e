import { type Finding, ok, warning } from '../core/diagnosis/finding.ts';
import type { DomainDownload } from '../core/recovery/security-domain/ports.ts';
import type { StoreContext } from '../store/database.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import { createSecurityDomainStore } from '../store/recovery/security-domain/security-domain-store.ts';

const SUBJECT = 'security domain';
const DOWNLOAD = '`strongroom security-domain download` makes one';

/** Whether the pool's keys could be opened if its HSM were lost. */
export async function examineSecurityDomain(
  context: StoreContext,
  pool: Pool,
): Promise<readonly Finding[]> {
  const store = createSecurityDomainStore(context);
  const uploaded = await store.findUpload();
  return [
    examineDownload(pool, await store.findDownload()),
    ...(uploaded === undefined
      ? []
      : [
          ok(
            SUBJECT,
            `That of the pool ${uploaded.poolId}, generation ${uploaded.generation}, was uploaded: restore that pool's backup, or download this pool's own domain.`,
          ),
        ]),
  ];
}

function examineDownload(
  { activation, rootGeneration }: Pool,
  download: DomainDownload | undefined,
): Finding {
  if (download !== undefined) {
    const { generation, madeAt, required, custodians } = download;
    const made = `${madeAt.toISOString().slice(0, 10)}, which ${required} of ${custodians.length} custodians open`;
    return generation === rootGeneration
      ? ok(SUBJECT, `It is that of ${made}.`)
      : warning(
          SUBJECT,
          `The newest one is that of ${made}; there are newer root keys, and with these it opens nothing: ${DOWNLOAD} that does.`,
        );
  }
  switch (activation) {
    case 'none':
      return warning(
        SUBJECT,
        `The pool has none, and serves no key operations until then: ${DOWNLOAD}.`,
      );
    case undefined:
      return warning(
        SUBJECT,
        `The pool has none, and holds keys from before there were any: if the HSM is lost, so are they. ${DOWNLOAD}; where the HSM keeps copies of its own, \`strongroom bootstrap --no-security-domain\` records that.`,
      );
    case 'hsm':
      return ok(
        SUBJECT,
        'The pool has none: its operator has said that the HSM keeps copies of its own.',
      );
    case 'embedded':
      return ok(SUBJECT, `The pool has none, and was made for development: ${DOWNLOAD}.`);
    case 'domain':
      return warning(
        SUBJECT,
        `The pool was restored from a backup, and no domain was downloaded since: that of before opens it; ${DOWNLOAD} for this HSM.`,
      );
  }
}
