import { type Finding, ok, warning } from '../core/diagnosis/finding.ts';
import type { DomainDownload } from '../core/recovery/security-domain/ports.ts';
import type { StoreContext } from '../store/database.ts';
import type { Pool } from '../store/pool/pool-store.ts';
import type { PendingState } from '../core/recovery/root-keys/ports.ts';
import { createRootKeyStore } from '../store/recovery/root-keys/root-key-store.ts';
import { createSecurityDomainStore } from '../store/recovery/security-domain/security-domain-store.ts';

const SUBJECT = 'security domain';
const DOWNLOAD = '`strongroom security-domain download` makes one';

/** Whether the pool's keys could be opened if its HSM were lost. */
export async function examineSecurityDomain(
  context: StoreContext,
  pool: Pool,
): Promise<readonly Finding[]> {
  const store = createSecurityDomainStore(context);
  const { pending } = await createRootKeyStore(context).readState();
  const uploaded = await store.findUpload();
  return [
    examineDownload(pool, await store.findDownload(), pending),
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

/** Until then the one of before is the one that opens what is there. */
function examinePending({ number, awaited }: PendingState): Finding {
  const what =
    awaited.length === 0
      ? 'no process has made them the current ones yet'
      : `they wait for replicas whose HSM does not hold them: ${awaited.join(', ')}. Restore it there (\`strongroom security-domain restore\`), or go on without them (\`strongroom root-keys rotate --without-replica\`)`;
  return warning(
    SUBJECT,
    `The newest one opens nothing yet that the pool holds: its root keys are of generation ${number}, and ${what}. Keep the one from before until then.`,
  );
}

function examineDownload(
  { activation, rootGeneration }: Pool,
  download: DomainDownload | undefined,
  pending: PendingState | undefined,
): Finding {
  if (download !== undefined) {
    const { generation, madeAt, required, custodians } = download;
    if (pending?.number === generation) return examinePending(pending);
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
