import type { AuditedChange } from '../audit/record.ts';
import { ServiceError } from '../errors.ts';
import type {
  KeyAttributes,
  KeyIdentity,
  KeyName,
  KeyOperation,
  KeyOrigin,
  KeyVersionId,
  VerifiedKey,
  VerifiedMaterial,
} from './key.ts';
import type { ReleasePolicy } from '../release/release-policy.ts';
import type { Clock } from '../clock.ts';
import type { KeyReader, KeyWriter } from './ports.ts';

/** Seconds since 1970-01-01 UTC. */
export interface RequestedAttributes {
  readonly enabled?: boolean | undefined;
  readonly notBefore?: number | undefined;
  readonly expires?: number | undefined;
  readonly exportable?: boolean | undefined;
}

/** What a pool has decided once for all its keys. */
export interface PoolRules {
  readonly poolId: string;
  /** Days from deletion to the automatic purge, 7 to 90. */
  readonly softDeleteDays: number;
  readonly purgeProtection: boolean;
  /** The attestation authorities that release policies may name; any where absent. */
  readonly releaseAuthorities?: readonly string[];
}

export interface NewVersionParts {
  readonly keys: Pick<KeyReader, 'findDeletedKey'> & Pick<KeyWriter, 'insertVersion'>;
  readonly pool: PoolRules;
  readonly clock: Clock;
  readonly newVersionId: () => KeyVersionId;
}

export interface NewVersion {
  readonly origin: KeyOrigin;
  readonly operations: readonly KeyOperation[];
  readonly attributes: RequestedAttributes;
  readonly tags: Readonly<Record<string, string>>;
  /** When it expires that is created at `now`; instead of a date among the attributes. */
  readonly expiresAfter?: (now: number) => number | undefined;
  /** With one, the key is exportable. */
  readonly releasePolicy?: ReleasePolicy | undefined;
}

export type VersionMaker = ReturnType<typeof createVersionMaker>;

/** The one way by which a version comes to be, whether its key is generated, imported or rotated. */
export function createVersionMaker({ keys, pool, clock, newVersionId }: NewVersionParts) {
  /**
   * Makes the material with `make`, and adds it to the key of that name, or makes the key.
   * @param onlyAfter the version that must still be the newest: otherwise nothing is added and undefined comes back
   * @throws ServiceError KeyIsDeleted, BadParameter, and what `make` throws
   */
  return async function addVersion(
    name: KeyName,
    wanted: NewVersion,
    make: (identity: KeyIdentity) => Promise<VerifiedMaterial>,
    change: AuditedChange,
    onlyAfter?: KeyVersionId,
  ): Promise<VerifiedKey | undefined> {
    const { origin, operations, tags, attributes, releasePolicy } = wanted;
    const exportable = releasePolicy !== undefined;
    if (exportable && operations.includes('import')) throw exportableExchangeKey();
    // Asked before the HSM does anything, so that a refused name costs nothing; the store decides again when it writes.
    const deleted = await keys.findDeletedKey(name);
    if (deleted !== undefined) throw keyIsDeleted(deleted.current.material.identity.name);
    const version = newVersionId();
    change.note({ keyName: name, keyVersion: version });
    const material = await make({
      pool: pool.poolId,
      name,
      version,
      operations,
      exportable,
      origin,
      ...(releasePolicy !== undefined && { releasePolicy }),
    });
    const now = Math.floor(clock.now().getTime() / 1000);
    const made: VerifiedKey = {
      material,
      attributes: changeAttributes(
        { enabled: true, created: now, updated: now },
        { expires: wanted.expiresAfter?.(now), ...attributes },
      ),
      tags,
    };
    const spelling = await keys.insertVersion(made, change, onlyAfter);
    return spelling && spelled(made, spelling);
  };
}

/** The name as the key's creator wrote it, however this version's maker did: a seal doesn't tell the two apart. */
function spelled(version: VerifiedKey, name: KeyName): VerifiedKey {
  const { material } = version;
  return { ...version, material: { ...material, identity: { ...material.identity, name } } };
}

/** What is absent stays as it is. */
export function changeAttributes(
  current: KeyAttributes,
  { enabled, notBefore, expires }: RequestedAttributes,
): KeyAttributes {
  return {
    ...current,
    ...(enabled !== undefined && { enabled }),
    ...(notBefore !== undefined && { notBefore }),
    ...(expires !== undefined && { expires }),
  };
}

/** Outside, such a key would open all that was ever wrapped on its way in here. */
export function exportableExchangeKey(): ServiceError {
  return new ServiceError('BadParameter', 'A key exchange key cannot be exportable');
}

export function keyIsDeleted(name: KeyName): ServiceError {
  return new ServiceError(
    'KeyIsDeleted',
    `Key ${name} is currently in a deleted but recoverable state, and its name cannot be reused; in this state, the key can only be recovered or purged.`,
  );
}
