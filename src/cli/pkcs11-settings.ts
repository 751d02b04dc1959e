import { realpath } from 'node:fs/promises';
import { readPin, readTokens } from '../config/setting-files.ts';
import { prepareSoftHsmToken } from '../setup/softhsm/token.ts';
import type { CliContext } from './cli-context.ts';

/** The HSM of the settings, or that of the data folder, which is made where it isn't there. @throws OperatorError */
export async function pkcs11Of({
  readSettings,
  setEnvironment,
}: Pick<CliContext, 'readSettings' | 'setEnvironment'>) {
  const { config, secrets } = readSettings();
  if (config.pkcs11 !== undefined) return { ...config.pkcs11, pin: await readPin(secrets) };
  const token = await prepareSoftHsmToken(await realpath(config.dataFolder));
  setEnvironment('SOFTHSM2_CONF', token.configFile);
  return token;
}

/** The default pool's token, and those that others may have. @throws OperatorError */
export async function tokensOf(context: Pick<CliContext, 'readSettings' | 'setEnvironment'>) {
  return {
    pkcs11: await pkcs11Of(context),
    tokens: await readTokens(context.readSettings().config),
  };
}
