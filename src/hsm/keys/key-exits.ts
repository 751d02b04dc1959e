import { ServiceError } from '../../core/errors.ts';
import type { KeyRelease } from '../../core/release/key-release.ts';
import type { SecureWrapper } from '../../core/release/secure-wrap.ts';
import type { VerifiedMaterial } from '../../core/keys/key.ts';
import { requireGeneration } from '../module/connection.ts';
import type { KeyCalls } from '../key-calls.ts';

/** The ways by which keys leave the HSM, wrapped for a recipient. */
export function createKeyExits(calls: KeyCalls): KeyRelease & SecureWrapper {
  const exits: KeyRelease & SecureWrapper = {
    async requireIntact(key) {
      await calls.attempt((on) => on.loaded.verify(key), true, undefined, key.identity.name);
      return key as VerifiedMaterial;
    },

    async wrapForRelease(material, recipient, wrap) {
      await exits.requireIntact(material);
      const { exportable, releasePolicy, name } = material.identity;
      if (!exportable || releasePolicy === undefined)
        throw new ServiceError('KeyOperationForbidden', 'The key is not exportable.');
      return calls.attempt(
        async (on) => {
          const roots = await requireGeneration(on, material.sealed.rootGeneration);
          const input = [roots, material, recipient, wrap] as const;
          return on.dispatcher.run('wrapForRecipient', [...input], name);
        },
        true,
        undefined,
        name,
      );
    },

    async wrapFreshKey(material, algorithm) {
      await exits.requireIntact(material);
      return calls.attempt(
        async (on) => {
          const roots = await requireGeneration(on, material.sealed.rootGeneration);
          return on.dispatcher.run('wrapFreshKey', [roots, material, algorithm]);
        },
        true,
        undefined,
        material.identity.name,
      );
    },

    async rewrapForRecipient(material, algorithm, wrapped, recipient) {
      await exits.requireIntact(material);
      return calls.attempt(
        async (on) => {
          const roots = await requireGeneration(on, material.sealed.rootGeneration);
          const input = [roots, material, algorithm, wrapped, recipient] as const;
          return on.dispatcher.run('rewrapForRecipient', [...input]);
        },
        true,
        undefined,
        material.identity.name,
      );
    },
  };
  return exits;
}
