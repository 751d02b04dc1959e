import type { AuditedChange } from '../../audit/record.ts';
import type { Hsm } from '../hsm.ts';
import type { KeyRelease } from '../../release/key-release.ts';
import type { KeyName, VerifiedKey } from '../key.ts';
import { keyNotFound } from '../key-refusals.ts';
import type { VersionMaker } from '../new-version.ts';
import type { Clock } from '../../clock.ts';
import type { RotatingKey, RotationStore } from '../ports.ts';
import {
  expiryOf,
  parseRotationPolicy,
  type RequestedRotationPolicy,
  type RotationPolicy,
} from './rotation.ts';

export interface RotationServiceParts {
  readonly hsm: Pick<Hsm, 'generateKey'> & Pick<KeyRelease, 'requireIntact'>;
  readonly rotations: RotationStore;
  readonly addVersion: VersionMaker;
  readonly clock: Clock;
}

/** A key's name as its creator wrote it, and its policy; undefined where it has none. */
interface KeyPolicy {
  readonly name: KeyName;
  readonly policy: RotationPolicy | undefined;
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
  ): Promise<VerifiedKey | undefined> {
    const { identity, spec } = newest.material;
    // What an altered record says, such as a laxer policy of release, must not come under a good seal by this way.
    await hsm.requireIntact(newest.material);
    change.note({ keyName: identity.name });
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
      (made) => hsm.generateKey(made, spec, change.principalId),
      change,
      isScheduled ? identity.version : undefined,
    );
  }

  return {
    /** Makes a new version now; a policy isn't needed for it. @throws ServiceError KeyNotFound */
    async rotate(name: KeyName, change: AuditedChange): Promise<VerifiedKey> {
      const key = await rotations.findRotatingKey(name);
      if (key === undefined) throw keyNotFound(name);
      const made = await successor(key, change, false);
      if (made === undefined) throw new TypeError('the version was not added');
      return made;
    },

    /** Makes the version that is due; undefined where another process, or somebody by hand, has made it meanwhile. */
    rotateDue: (key: RotatingKey, change: AuditedChange) => successor(key, change, true),

    /** @throws ServiceError KeyNotFound */
    async getPolicy(name: KeyName): Promise<KeyPolicy> {
      const key = await rotations.findRotatingKey(name);
      if (key === undefined) throw keyNotFound(name);
      return { name: key.newest.material.identity.name, policy: key.policy };
    },

    /** A blank policy takes the present one away. @throws ServiceError BadParameter, KeyNotFound */
    async putPolicy(
      name: KeyName,
      request: RequestedRotationPolicy,
      change: AuditedChange,
    ): Promise<KeyPolicy> {
      const now = seconds();
      const parsed = parseRotationPolicy(request, now);
      const { name: spelling, policy: before } = await this.getPolicy(name);
      const policy = parsed && { ...parsed, created: before?.created ?? now, updated: now };
      change.note({ keyName: spelling, change: { before, after: policy } });
      if (!(await rotations.putPolicy(name, policy, change))) throw keyNotFound(name);
      return { name: spelling, policy };
    },
  };
}
