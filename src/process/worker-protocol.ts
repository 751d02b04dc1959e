import type { ServiceSettings } from '../compose/service/settings.ts';
import type { Config } from '../config/config.ts';
import type { Patience } from '../http/server/drain.ts';
import type { ReadinessReport } from '../http/pool/health.routes.ts';
import type { AttestationSettings, TlsIdentity, TokenSettings } from '../config/setting-files.ts';
import type { TriedModule } from '../hsm/capabilities/tried-module.ts';
import type { ExternalIssuer } from '../identity/issuers/external-issuer.ts';

/** Settings that name something: in their place a worker gets the thing itself. */
type Named = 'attestation' | 'issuers' | 'pkcs11' | 'tls' | 'replicaName' | 'tokensFile';

/**
 * All that a worker process needs: the settings, and what is named by them. It comes over the process channel, so that no
 * secret stands in an environment.
 */
export interface WorkerSettings
  extends
    Omit<Config, Named>,
    Pick<ServiceSettings, 'databaseUrl' | 'auditDatabaseUrl' | 'pkcs11' | 'replica' | 'tried'> {
  readonly tls: TlsIdentity;
  readonly tokens: readonly TokenSettings[];
  readonly attestation: AttestationSettings;
  readonly issuers: readonly ExternalIssuer[];
  readonly issuersCa?: string;
  /** By which any worker resumes the TLS sessions of any other: 48 bytes in base64. */
  readonly ticketKeys: string;
  /** Whether the service has been told to be ready before this process began. */
  readonly isStartOver: boolean;
}

export type ToWorker =
  | { readonly kind: 'start'; readonly settings: WorkerSettings }
  | { readonly kind: 'ticketKeys'; readonly ticketKeys: string }
  /** All that a client needs is there: the process may call itself ready, and says how it is. */
  | { readonly kind: 'startIsOver' }
  /** Finish what is under way, take nothing new, end. Told again, with less patience. */
  | { readonly kind: 'drain'; readonly patience: Patience };

export type FromWorker =
  /** It listens now: what is told to a process before that is lost. */
  | { readonly kind: 'listening' }
  | {
      readonly kind: 'ready';
      readonly port: number;
      readonly identityPort?: number;
      /** What was found out about the PKCS#11 module. */
      readonly tried: TriedModule;
    }
  | {
      readonly kind: 'failed';
      readonly reason: string;
      /** Absent where the reason is a sentence that an operator can act on. */
      readonly stack?: string;
      /** The HSM has refused the PIN: no other process may try it. */
      readonly isPinRefused?: true;
    }
  | {
      readonly kind: 'alive';
      /** Absent where it could not be read. */
      readonly residentBytes?: number;
      /** Which parts could serve; absent until they were asked. */
      readonly report?: ReadinessReport;
    }
  | { readonly kind: 'settled'; readonly report: ReadinessReport }
  | { readonly kind: 'hung'; readonly operation: string }
  /** A backup was restored: what the process knows of its pool is out of date. */
  | { readonly kind: 'outdated' };
