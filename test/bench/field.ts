import { prepareSoftHsmToken } from '../../src/setup/softhsm/token.ts';
import { ownerUrl, serviceUrl } from '../support/cluster.ts';
import type { Cleanup } from './cleanup.ts';
import { type HelperProcess, startHelper } from './helper-process.ts';
import { callerOf } from './operations.ts';
import type { PlantingPlace } from './planting.ts';
import { type BenchService, openService } from './stage.ts';

/** A service, and a process that plants in its store. */
export interface Field {
  readonly service: BenchService;
  readonly planter: HelperProcess;
  readonly token: string;
  /** Paths of as many more keys. */
  plantKeys(names: readonly string[]): Promise<readonly string[]>;
}

/** @param settings of the service, besides those of every bench */
export async function openField(
  cleanup: Cleanup,
  settings: Readonly<Record<string, string>> = {},
): Promise<Field> {
  const service = await openService(cleanup, [], settings);
  const folder = service.service.dataFolder;
  const { configFile, ...token } = await prepareSoftHsmToken(folder);
  const planter = startHelper('planting.ts', { SOFTHSM2_CONF: configFile });
  cleanup.add(() => {
    planter.stop();
  });
  await planter.ask('open', {
    serviceUrl: await serviceUrl(folder),
    ownerUrl: await ownerUrl(folder),
    token,
  } satisfies PlantingPlace);
  await callerOf(service.admin)('POST', '/keys/original/create', { kty: 'oct-HSM' });
  return {
    service,
    planter,
    token: (await service.newPrincipal()).token,
    plantKeys: (given) => planter.ask('keys', { original: 'original', names: given }),
  };
}
