import { ServiceError } from '../../errors.ts';
import type { RootKeyMemory } from './root-key-hsm.ts';

/**
 * Whether a pool could start with the root keys of its uploaded domain, as what it was restored to: asked before anything is
 * replaced. What the HSM remembers of that pool is what its start goes by.
 * @throws ServiceError Conflict
 */
export async function requireStartable(
  hsm: Pick<RootKeyMemory, 'listUsedGenerations' | 'listBrought'>,
  { poolId, generation }: { readonly poolId: string; readonly generation: number },
): Promise<void> {
  const newer = (await hsm.listUsedGenerations(poolId)).filter((used) => used > generation);
  const strays = (await hsm.listBrought(poolId)).filter((brought) => brought !== generation);
  const [what, numbers] =
    newer.length > 0
      ? ['has had newer root keys of that pool in use', newer]
      : ['holds root keys of that pool from another upload', strays];
  if (numbers.length === 0) return;
  throw new ServiceError(
    'Conflict',
    `The HSM ${what} (generation ${numbers.join(', ')}; those of the uploaded domain are generation ${generation}), so that the restored pool would not start: take an empty token, or upload the newest security domain.`,
  );
}
