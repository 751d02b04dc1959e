import { ServiceError } from '../../errors.ts';
import type { KeyRelease } from '../../release/key-release.ts';
import type { KeyMaterial } from '../key.ts';
import { objectsOf } from './object-id.ts';
import { type ObjectPermit, type ObjectProver, permit } from './permit.ts';

export type RemovalProver = ObjectProver & Pick<KeyRelease, 'requireIntact'>;

/**
 * Permits for the objects of keys that are removed to be destroyed from then on; none for a row that was altered, which may
 * tell of another key's object.
 * @param from seconds since 1970-01-01 UTC
 */
export async function permitRemoval(
  hsm: RemovalProver,
  find: () => Promise<readonly KeyMaterial[]>,
  from: number,
): Promise<readonly ObjectPermit[]> {
  const permits = [];
  for (const material of await find())
    if (await isIntact(hsm, material)) {
      const what = { kind: 'removal', time: from } as const;
      permits.push(...(await permit(hsm, objectsOf(material), material.identity, what)));
    }
  return permits;
}

async function isIntact(hsm: RemovalProver, material: KeyMaterial): Promise<boolean> {
  try {
    await hsm.requireIntact(material);
    return true;
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'KeyIntegrityViolation') return false;
    throw error;
  }
}
