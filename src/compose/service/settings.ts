import type { Config } from '../../config/config.ts';
import type { AttestationSettings, TokenSettings } from '../../config/setting-files.ts';
import type { StorageSettings } from '../../core/recovery/jobs/ports.ts';
import type { ReplicaIdentity, ServingProcess } from '../../core/pool/replicas.ts';
import type { TriedModule } from '../../hsm/capabilities/tried-module.ts';
import type { ExternalIssuer } from '../../identity/issuers/external-issuer.ts';

/** What a service can't be without, of the settings and from what surrounds it. */
interface Required extends Pick<Config, 'domain' | 'pool' | 'limits'> {
  readonly databaseUrl: string;
  /** Of a standby on which the audit log is read. */
  readonly auditDatabaseUrl?: string;
  /** Of which start of the service this process is a part. */
  readonly replica: ReplicaIdentity & Pick<ServingProcess, 'version' | 'schema'>;
  readonly pkcs11: TokenSettings;
}

type Optional = Partial<
  Pick<
    Config,
    | 'backupAuditRecords'
    | 'tracesUrl'
    | 'sessions'
    | 'loadedKeys'
    | 'federatedIssuers'
    | 'signingKeyDays'
    | 'keeping'
    | 'opensPoolsAtStart'
  >
>;

/** What a process is made from. Secrets are among it: it is never logged. */
export interface ServiceSettings extends Required, Optional {
  /** Whom to believe about environments to which keys are released. */
  readonly attestation?: AttestationSettings;
  /** OIDC issuers besides the built-in directory, and PEM of authorities that theirs and federated ones may come from. */
  readonly issuers?: readonly ExternalIssuer[];
  readonly issuersCa?: string;
  /** What another process of the same start has found out about the PKCS#11 module. */
  readonly tried?: TriedModule;
  /** Those besides, which other pools may have. */
  readonly tokens?: readonly TokenSettings[];
  /** Where backups may lie, with the credentials for it. */
  readonly backupStorage?: StorageSettings;
}
