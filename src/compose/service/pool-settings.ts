import { OperatorError } from '../../core/operator-error.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import type { TriedModule } from '../../hsm/capabilities/tried-module.ts';
import type { Pool } from '../../store/pool/pool-store.ts';
import { LIMITS } from '../limits.ts';
import type { ServiceSettings } from './settings.ts';

/**
 * The settings by which a pool besides the default one is served: its own token, and a share of what a process may use.
 * @param tried what was found out about the default pool's module
 * @param pools that are open already
 * @throws OperatorError where the settings don't name its token
 */
export function settingsOf(
  settings: ServiceSettings,
  pool: Pick<Pool, 'name' | 'tokenLabel'>,
  { tried, pools }: { readonly tried: TriedModule; readonly pools: number },
): ServiceSettings {
  const pkcs11 = tokenOf(settings, pool);
  const loadedKeys = settings.loadedKeys ?? LIMITS.loadedKeys;
  return {
    ...withoutUndefined({
      ...settings,
      // How it keeps its keys its row says.
      keeping: undefined,
      tried: pkcs11 === settings.pkcs11 ? tried : undefined,
    }),
    pool: pool.name,
    pkcs11,
    loadedKeys: Math.max(LIMITS.loadedKeysAtLeast, Math.floor(loadedKeys / (pools + 1))),
  };
}

/** @throws OperatorError where the settings don't name the pool's token */
export function tokenOf(
  { pkcs11, tokens = [] }: Pick<ServiceSettings, 'pkcs11' | 'tokens'>,
  { name, tokenLabel: label }: Pick<Pool, 'name' | 'tokenLabel'>,
): ServiceSettings['pkcs11'] {
  if (label === undefined || label === pkcs11.tokenLabel) return pkcs11;
  const found = tokens.find(({ tokenLabel }) => tokenLabel === label);
  if (found !== undefined) return found;
  throw new OperatorError(
    `The pool "${name}" has its keys in the token "${label}", which is not in the file that STRONGROOM_TOKENS_FILE names.`,
  );
}
