import { once } from 'node:events';
import { createServer, connect } from 'node:net';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { makePreparedFolder } from './prepared-folder.ts';
import { removeDataFolder, type RunningService, startService } from './service.ts';

/** What a suite knows of a service that is not its own. */
export type SharedService = Pick<
  RunningService,
  'dataFolder' | 'url' | 'localUrl' | 'port' | 'client' | 'ca'
>;

export interface SharedServiceOffer {
  /** Ends the service where somebody has asked for it; rejects where the HSM was asked inside a transaction. */
  close(): Promise<void>;
}

const FAILED = 'failed: ';

/**
 * Offers one development service to all suites of a run. It belongs to jest's first process, which outlives the suites; the
 * first suite that asks has it started, since a run of other suites needs none.
 */
export async function offerSharedService(runFolder: string): Promise<SharedServiceOffer> {
  let starting: Promise<RunningService> | undefined;
  const server = createServer((socket) => {
    socket.on('error', () => undefined);
    starting ??= makePreparedFolder().then((folder) =>
      startService(folder, { STRONGROOM_WORKERS: '2' }),
    );
    starting.then(
      ({ dataFolder, url, localUrl, port, client, ca }) =>
        socket.end(JSON.stringify({ dataFolder, url, localUrl, port, client, ca })),
      (error: unknown) => socket.end(`${FAILED}${String(error)}`),
    );
  });
  await once(server.listen(socketIn(runFolder)), 'listening');
  return {
    async close() {
      server.close();
      const service = await starting;
      if (service === undefined) return;
      try {
        await service.stop();
      } finally {
        await removeDataFolder(service.dataFolder);
      }
    },
  };
}

/** @throws Error with what the service printed, where it doesn't start */
export async function askForSharedService(runFolder: string): Promise<SharedService> {
  const answer = await text(connect(socketIn(runFolder)));
  if (answer.startsWith(FAILED)) throw new Error(answer);
  return JSON.parse(answer) as SharedService;
}

function socketIn(runFolder: string): string {
  return join(runFolder, 'shared-service.sock');
}
