import type { TokenSigningKeyStore } from '../../directory/ports.ts';
import type { CertifiedKeyStore } from '../../pool/certified-keys.ts';
import type { Hsm, HsmFeatures, KeyImporter } from '../hsm.ts';
import type { KeyWriter } from '../ports.ts';
import type { ObjectKeeper } from './object-keeper.ts';

/** How keys are made and stored in a resident pool: the same, with their objects on record. */

/** The same HSM, whose new keys' objects are on record before they are made. */
export function recordGenerated<Maker extends Pick<Hsm, 'generateKey'>>(
  hsm: Maker,
  { making }: Pick<ObjectKeeper, 'making'>,
): Maker {
  const generateKey: Hsm['generateKey'] = (identity, spec, by) =>
    making(identity, spec.keyType === 'oct-HSM', (begun) =>
      hsm.generateKey(identity, spec, by, begun),
    );
  return Object.assign(Object.create(hsm) as Maker, { generateKey });
}

/** The same of those that come from outside, too; and it says how many objects there are. */
export function recordObjects<Maker extends Hsm & HsmFeatures & KeyImporter>(
  hsm: Maker,
  keeper: Pick<ObjectKeeper, 'making' | 'use'>,
): Maker {
  const { making } = keeper;
  const importKey: KeyImporter['importKey'] = (identity, key) =>
    making(identity, key.keyType === 'oct-HSM', (begun) => hsm.importKey(identity, key, begun));
  const importTransferred: KeyImporter['importTransferred'] = (identity, by, wrapped, expected) =>
    making(identity, expected.keyType === 'oct-HSM', (begun) =>
      hsm.importTransferred(identity, by, wrapped, expected, begun),
    );
  const offer: HsmFeatures['offer'] = async () => ({
    ...(await hsm.offer()),
    objects: await keeper.use(),
  });
  return Object.assign(recordGenerated(hsm, keeper), { importKey, importTransferred, offer });
}

export function keepObjectsOfKeys(
  keys: KeyWriter,
  keeper: Pick<ObjectKeeper, 'writing' | 'deleted' | 'removing' | 'materialsOf' | 'removed'>,
): KeyWriter {
  const { writing, deleted, removing, materialsOf, removed } = keeper;
  return {
    ...keys,
    insertVersion: (version, change, onlyAfter) =>
      writing(
        version.material.identity.version,
        () => keys.insertVersion(version, change, onlyAfter),
        (name) => name !== undefined,
      ),
    async deleteKey(name, retentionSeconds, change) {
      const key = await keys.deleteKey(name, retentionSeconds, change);
      if (key !== undefined) await deleted(name, key.purgeAt);
      return key;
    },
    purgeKey: (name, change) =>
      removing(
        () => materialsOf(name),
        () => keys.purgeKey(name, change),
        (isPurged) => isPurged,
      ),
    async purgeExpiredKey(change) {
      const name = await keys.purgeExpiredKey(change);
      if (name !== undefined) await removed();
      return name;
    },
  };
}

export function keepObjectsOfSigningKeys(
  store: TokenSigningKeyStore,
  { writing, removing }: Pick<ObjectKeeper, 'writing' | 'removing'>,
): TokenSigningKeyStore {
  return {
    ...store,
    // The oldest one goes.
    insertSigningKey: (key, after, change) =>
      removing(
        async () => (await store.listSigningKeys()).map(({ material }) => material),
        () =>
          writing(
            key.material.identity.version,
            () => store.insertSigningKey(key, after, change),
            (result) => result,
          ),
        (isInserted) => isInserted,
      ),
  };
}

export function keepObjectsOfCertifiedKeys(
  store: CertifiedKeyStore,
  { writing }: Pick<ObjectKeeper, 'writing'>,
): CertifiedKeyStore {
  return {
    ...store,
    insertCertifiedKey: (key, change) =>
      writing(
        key.material.identity.version,
        () => store.insertCertifiedKey(key, change),
        (isInserted) => isInserted,
      ),
  };
}
