import { type AttestationSettings } from '../config/setting-files.ts';
import { type RequestLimits } from '../http/server/throttle.ts';
import { type ExternalIssuer } from '../identity/issuers/external-issuer.ts';

interface Pkcs11Settings {
  readonly module: string;
  readonly tokenLabel: string;
  readonly pin: string;
}

/** What a process is made from. Secrets are among it: it is never logged. */
export interface ServiceSettings {
  /** Parent domain of the pools. */
  readonly domain: string;
  readonly pool: string;
  readonly databaseUrl: string;
  readonly pkcs11: Pkcs11Settings;
  /** How much callers may ask, of each process. */
  readonly limits: RequestLimits;
  /** Where spans are sent by OTLP over HTTP; there are none where absent. */
  readonly tracesUrl?: string;
  /** Size of the PKCS#11 session pool; chosen where absent. */
  readonly sessions?: number;
  /** Keys that are kept in the HSM as session objects, at most; those that a tool needs where absent. */
  readonly loadedKeys?: number;
  /** Whom to believe about environments to which keys are released. */
  readonly attestation?: AttestationSettings;
  /** OIDC issuers besides the built-in directory, and PEM of authorities that theirs and federated ones may come from. */
  readonly issuers?: readonly ExternalIssuer[];
  readonly issuersCa?: string;
  /** Those whom federated credentials may name though they are at no public address. */
  readonly federatedIssuers?: readonly string[];
  /** Age at which the key that signs the directory's tokens gets a successor; 30 where absent. */
  readonly signingKeyDays?: number;
}
