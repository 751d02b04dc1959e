import { afterAll, beforeAll } from '@jest/globals';
import { type Caller, createCaller, fetchToken } from './client.ts';
import { fromGlobalSetup } from './environment.ts';
import { later } from './later.ts';
import { makePreparedFolder } from './prepared-folder.ts';
import { type ProductionOptions, type ProductionService, startProduction } from './production.ts';
import {
  removeDataFolder,
  type RunningService,
  type StartOptions,
  startService,
} from './service.ts';
import { askForSharedService, type SharedService } from './shared-service.ts';

type Environment = Readonly<Record<string, string>>;
/** Settings that are known at once, or that something has to be started for. */
type Settings = Environment | (() => Promise<Environment>);
type Closable = { close(): unknown } | (() => unknown);
interface Closing {
  readonly add: (thing: Closable) => void;
}

const START_LIMIT_MS = 120_000;

export interface ServiceInUse {
  readonly service: RunningService;
  /** Calls as the first administrator. */
  readonly admin: Caller;
  readonly adminToken: () => string;
  /** What a suite opens beside the service is closed, or called, before the service ends: the last one first. */
  readonly atEnd: (thing: Closable) => void;
}

/** Starts the service, as a user would for development, before the tests of a file or of a `describe`, and ends it after them. */
export function useService(settings: Settings = {}, options: StartOptions = {}): ServiceInUse {
  let service: RunningService | undefined;
  let admin: Caller | undefined;
  let token: string | undefined;
  const closing = useClosing();
  beforeAll(async () => {
    const folder = await makePreparedFolder();
    closing.add(() => removeDataFolder(folder));
    const running = await startService(folder, await read(settings), options);
    service = running;
    closing.add(() => running.stop());
    ({ admin, token } = await signIn(running, closing));
  }, START_LIMIT_MS);
  return {
    service: later(() => started(service)),
    admin: later(() => started(admin)),
    adminToken: () => started(token),
    atEnd: closing.add,
  };
}

export type SharedServiceInUse = Omit<ServiceInUse, 'service'> & {
  readonly service: SharedService;
};

/**
 * The service that suites of a run share, for those that only work with keys, principals and roles of their own: they start and
 * stop nothing, change no setting, count nothing that others add to, and guess no secret.
 */
export function useSharedService(): SharedServiceInUse {
  let service: SharedService | undefined;
  let admin: Caller | undefined;
  let token: string | undefined;
  const closing = useClosing();
  beforeAll(async () => {
    const running = await askForSharedService(fromGlobalSetup('STRONGROOM_TEST_FOLDER'));
    service = running;
    ({ admin, token } = await signIn(running, closing));
  }, START_LIMIT_MS);
  return {
    service: later(() => started(service)),
    admin: later(() => started(admin)),
    adminToken: () => started(token),
    atEnd: closing.add,
  };
}

/** As the first administrator. */
async function signIn(
  service: SharedService,
  closing: Closing,
): Promise<{ admin: Caller; token: string }> {
  const { AZURE_CLIENT_ID: clientId = '', AZURE_CLIENT_SECRET: clientSecret = '' } = service.client;
  const token = await fetchToken(service, { clientId, clientSecret });
  const admin = createCaller(service, token);
  closing.add(admin);
  return { admin, token };
}

export interface ProductionInUse {
  readonly production: ProductionService;
  readonly service: RunningService;
  readonly admin: Caller;
  readonly atEnd: (thing: Closable) => void;
}

/** The same with the settings of a production start, on the run's own PostgreSQL: see startProduction. */
export function useProduction(
  settings: Settings = {},
  options: ProductionOptions = {},
): ProductionInUse {
  let production: ProductionService | undefined;
  const closing = useClosing();
  beforeAll(async () => {
    const running = await startProduction(await read(settings), options);
    production = running;
    closing.add(() => running.stop());
  }, START_LIMIT_MS);
  return {
    production: later(() => started(production)),
    service: later(() => started(production).service),
    admin: later(() => started(production).admin),
    atEnd: closing.add,
  };
}

/** All are closed, whatever one of them says; what it says fails the suite. */
function useClosing(): Closing {
  const things: Closable[] = [];
  afterAll(async () => {
    const failures: unknown[] = [];
    for (const thing of things.reverse())
      try {
        await ('close' in thing ? thing.close() : thing());
      } catch (error) {
        failures.push(error);
      }
    if (failures.length > 0) throw failures[0];
  }, START_LIMIT_MS);
  return {
    add: (thing) => {
      things.push(thing);
    },
  };
}

function read(settings: Settings): Environment | Promise<Environment> {
  return typeof settings === 'function' ? settings() : settings;
}

function started<Thing>(thing: Thing | undefined): Thing {
  if (thing === undefined) throw new Error('the service starts before the first test, not yet');
  return thing;
}
