import { ServiceError } from '../core/errors.ts';

/** What versions differ in, as far as requests and responses here can tell. */
type ApiFeature =
  /** The transfer key as an object; before, and for az, it is a text of JSON. */
  | 'transferKeyObject'
  /** `attributes.key_size` of symmetric keys. */
  | 'symmetricKeySize'
  /** securewrapkey and secureunwrapkey. */
  | 'secureWrap'
  /** `secureWrapKey` and `secureUnwrapKey` among key_ops. */
  | 'secureWrapOperations'
  /** Keys of the type AKP, `alg` and `pub` of them, `context` and `external_mu`; sign and verify without `alg`. */
  | 'mlDsa'
  /** `applicationTrustedIssuer` must be named where a key is securely unwrapped. */
  | 'applicationTrustedIssuer';

interface KnownVersion {
  readonly name: string;
  /** What it has that the versions before it have not. */
  readonly adds?: readonly ApiFeature[];
}

/**
 * The versions of the Key Vault and Managed HSM data plane, oldest first
 * (Azure/azure-rest-api-specs, specification/keyvault/data-plane). A line is all that a new one takes.
 */
const VERSIONS: readonly KnownVersion[] = [
  // The first generation of clients (Azure/kubernetes-kms still sends it).
  { name: '2016-10-01' },
  { name: '7.0' },
  { name: '7.1' },
  { name: '7.2-preview' },
  { name: '7.2' },
  { name: '7.3-preview' },
  { name: '7.3' },
  { name: '7.4-preview.1' },
  { name: '7.4' },
  { name: '7.5-preview.1' },
  { name: '7.5' },
  { name: '7.6-preview.1', adds: ['transferKeyObject'] },
  { name: '7.6-preview.2' },
  { name: '7.6' },
  { name: '2025-06-01-preview' },
  { name: '2025-07-01' },
  { name: '2026-01-01-preview', adds: ['symmetricKeySize', 'secureWrap'] },
  { name: '2026-03-01-preview' },
  { name: '2026-04-01' },
  { name: '2026-05-01-preview', adds: ['secureWrapOperations', 'mlDsa'] },
  { name: '2026-07-01-preview', adds: ['applicationTrustedIssuer'] },
];

/** A version as a request names it. */
export interface ApiVersion {
  /** In the client's words: one that is newer than all that are known keeps its own name. */
  readonly name: string;
  has(feature: ApiFeature): boolean;
}

const known = new Map<string, ApiVersion>();
const features = new Set<ApiFeature>();
for (const { name, adds = [] } of VERSIONS) {
  for (const feature of adds) features.add(feature);
  const present = new Set(features);
  known.set(name, { name, has: (feature) => present.has(feature) });
}

const names = VERSIONS.map(({ name }) => name);
const NEWEST = names.at(-1) ?? '';
const NEWEST_STABLE = names.filter((name) => !name.includes('preview')).at(-1) ?? '';

/** What shows in responses, or is demanded. */
const CHANGES_FOR_OLD_CLIENTS = new Set<ApiFeature>([
  'symmetricKeySize',
  'applicationTrustedIssuer',
]);

/** Some of Microsoft's own clients send no version: they may ask for everything, and get responses as they always were. */
const NONE: ApiVersion = {
  name: NEWEST_STABLE,
  has: (feature) => !CHANGES_FOR_OLD_CLIENTS.has(feature),
};

/**
 * A date after the newest known
 * one is answered as that: the next release of a library must not fail for its version alone.
 * @throws ServiceError UnsupportedApiVersion
 */
export function parseApiVersion(value: unknown): ApiVersion {
  if (value === undefined) return NONE;
  const found = typeof value === 'string' ? (known.get(value) ?? later(value)) : undefined;
  if (found !== undefined) return found;
  const named =
    typeof value === 'string' ? value.slice(0, 40).replace(/[^\w.-]/g, '?') : 'repeated';
  throw new ServiceError(
    'UnsupportedApiVersion',
    `The specified version (${named}) is not recognized. Consider using the latest supported version (${NEWEST_STABLE}, or the preview ${NEWEST}).`,
  );
}

const DATED = /^(\d{4}-\d{2}-\d{2})(?:-preview)?$/;
const NEWEST_DATE = DATED.exec(NEWEST)?.[1] ?? '';

/** A date of the calendar, not before that of the newest version: no versions lie between known ones. */
function later(name: string): ApiVersion | undefined {
  const date = DATED.exec(name)?.[1];
  if (date === undefined || date < NEWEST_DATE || !isCalendarDate(date)) return undefined;
  return { name, has: (feature) => features.has(feature) };
}

function isCalendarDate(date: string): boolean {
  const read = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(read.getTime()) && read.toISOString().startsWith(date);
}

/** @throws ServiceError BadParameter where the request's version doesn't have it yet */
export function requireFeature(version: ApiVersion, feature: ApiFeature, what: string): void {
  if (version.has(feature)) return;
  const first = VERSIONS.find(({ adds }) => adds?.includes(feature))?.name ?? NEWEST;
  throw new ServiceError(
    'BadParameter',
    `${what} needs api-version ${first} or a later one: the request's is ${version.name}.`,
  );
}
