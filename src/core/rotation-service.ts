import { type AuditedChange } from './audit.ts';
import { type Hsm } from './hsm.ts';
import { type KeyEgress } from './key-egress.ts';
import { type KeyName, type KeyVersion } from './key.ts';
import { keyNotFound } from './key-service.ts';
import { type VersionMaker } from './new-version.ts';
import { type Clock, type RotatingKey, type RotationStore } from './ports.ts';
import {
  expiryOf,
  parseRotationPolicy,
  type RequestedRotationPolicy,
  type RotationPolicy,
} from './rotation.ts';

export interface RotationServiceParts {
  readonly hsm: Pick<Hsm, 'generateKey'> & Pick<KeyEgress, 'requireIntact'>;
  readonly rotations: RotationStore;
  readonly addVersion: VersionMaker;
  readonly clock: Clock;
}

export type RotationService = ReturnType<typeof createRotationService>;

/** New versions of keys, when asked for and when due. Who may ask is decided before. */
export function createRotationService({ hsm, rotations, addVersion, clock }: RotationServiceParts) {
  const seconds = () => Math.floor(clock.now().getTime() / 1000);

  /** A key of the same kind, with the same operations and tags, that expires as the policy says. */
  async function successor(
    { newest, policy }: RotatingKey,
    change: AuditedChange,
    isScheduled: boolean,
  ): Promise<KeyVersion | undefined> {
    const { identity, spec } = newest.material;
    // What an altered record says, such as a laxer policy of release, must not come under a good seal by this way.
    await hsm.requireIntact(newest.material);
    return addVersion(
      identity.name,
      {
        origin: 'generated',
        operations: identity.operations,
        attributes: {},
        expiresAfter: (now) => expiryOf(policy, now),
        tags: newest.tags,
        releasePolicy: identity.releasePolicy,
      },
      (made) => hsm.generateKey(made, spec),
      change,
      isScheduled ? identity.version : undefined,
    );
  }

  return {
    /** Makes a new version now; a policy isn't needed for it. @throws ServiceError KeyNotFound */
    async rotate(name: KeyName, change: AuditedChange): Promise<KeyVersion> {
      const key = await rotations.findRotatingKey(name);
      if (key === undefined) throw keyNotFound(name);
      const made = await successor(key, change, false);
      if (made === undefined) throw new TypeError('the version was not added');
      return made;
    },

    /** Makes the version that is due; undefined where another process, or somebody by hand, has made it meanwhile. */
    rotateDue: (key: RotatingKey, change: AuditedChange) => successor(key, change, true),

    /** Undefined for a key that has no policy. @throws ServiceError KeyNotFound */
    async getPolicy(name: KeyName): Promise<RotationPolicy | undefined> {
      const key = await rotations.findRotatingKey(name);
      if (key === undefined) throw keyNotFound(name);
      return key.policy;
    },

    /** A blank policy takes the present one away. @throws ServiceError BadParameter, KeyNotFound */
    async putPolicy(
      name: KeyName,
      request: RequestedRotationPolicy,
      change: AuditedChange,
    ): Promise<RotationPolicy | undefined> {
      const now = seconds();
      const parsed = parseRotationPolicy(request, now);
      const before = await this.getPolicy(name);
      const policy = parsed && { ...parsed, created: before?.created ?? now, updated: now };
      change.note({ keyName: name, change: { before, after: policy } });
      if (!(await rotations.putPolicy(name, policy, change))) throw keyNotFound(name);
      return policy;
    },
  };
}
