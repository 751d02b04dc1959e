import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import type { AddressInfo } from 'node:net';
import { systemClock } from '../core/clock.ts';
import { formatAddress } from '../config/address.ts';
import { ConfigError, readAgentConfig } from '../config/config.ts';
import {
  createLoopbackServer,
  createManagedIdentityApp,
} from '../http/identity/managed-identity.ts';
import { createIdentityAgent } from '../identity/endpoints/agent.ts';
import { createLog } from '../observability/log.ts';
import type { CliContext } from './cli-context.ts';

const SECRET_BYTES = 32;

/** Of the programs of one machine or pod. */
const CONNECTIONS = 100;

/**
 * `strongroom identity-agent`: managed identities for a workload whose platform gives it federated tokens.
 * @param command the workload and its arguments; none where it is started by something else
 * @param headerFile of the secret that the workload shows
 */
export async function runIdentityAgent(
  { environment, stopSignal, print, setExitStatus }: CliContext,
  command: readonly string[],
  headerFile: string | undefined,
): Promise<void> {
  if (command.length === 0 && headerFile === undefined)
    throw new ConfigError('identity-agent wants a command to start, or --header-file.');
  const { listen, tokenUrl, clientId, tokenFile, logLevel } = readAgentConfig(environment);
  const log = createLog(logLevel);
  const header =
    headerFile === undefined ? newHeader() : await readOrWrite(headerFile, newHeader());
  const readAssertion = () => readFile(tokenFile, 'utf8');
  const agent = createIdentityAgent({
    tokenUrl,
    clientId,
    readAssertion,
    header,
    clock: systemClock,
  });
  const server = createLoopbackServer(
    createManagedIdentityApp({ respond: agent }, (error, requestId) => {
      log.error({ err: error, requestId }, 'the workload got no token');
    }),
    CONNECTIONS,
  );
  server.listen(listen.port, listen.host);
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const endpoint = `http://${formatAddress({ host: listen.host, port })}/msi/token`;
  try {
    const [program, ...args] = command;
    if (program === undefined) {
      print(`Managed identity ${clientId}: IDENTITY_ENDPOINT=${endpoint}`);
      await stopSignal();
    } else {
      // With the token's file at hand Microsoft's libraries would use that, and not ask here.
      const env = {
        ...environment,
        AZURE_FEDERATED_TOKEN_FILE: undefined,
        IDENTITY_ENDPOINT: endpoint,
        IDENTITY_HEADER: header,
      };
      setExitStatus(await outlive(spawn(program, args, { stdio: 'inherit', env }), stopSignal()));
    }
  } finally {
    server.close();
    server.closeAllConnections();
  }
}

/** The workload's exit status; told to end with this process. */
async function outlive(workload: ChildProcess, stopping: Promise<void>): Promise<number> {
  void stopping.then(() => workload.kill('SIGTERM'));
  const [status] = (await once(workload, 'exit')) as [number | null];
  return status ?? 1;
}

function newHeader(): string {
  return randomBytes(SECRET_BYTES).toString('base64url');
}

/** The file's content, or the new one where there was no file: a workload that was told of it goes on knowing it. */
async function readOrWrite(file: string, content: string): Promise<string> {
  try {
    await writeFile(file, `${content}\n`, { mode: 0o600, flag: 'wx' });
    return content;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
    const known = (await readFile(file, 'utf8')).trim();
    if (known.length < SECRET_BYTES) throw new ConfigError(`${file} holds no secret.`);
    return known;
  }
}
