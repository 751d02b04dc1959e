import { type ChildProcess, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { readFile, writeFile } from 'node:fs/promises';
import { type AddressInfo } from 'node:net';
import { type Command } from 'commander';
import { systemClock } from '../core/clock.ts';
import { ConfigError, readAgentConfig } from '../config/config.ts';
import {
  createLoopbackServer,
  createManagedIdentityApp,
} from '../http/identity/managed-identity.ts';
import { createIdentityAgent } from '../identity/endpoints/agent.ts';
import { createLog } from '../observability/log.ts';

const SECRET_BYTES = 32;

interface AgentOptions {
  readonly headerFile?: string;
}

interface AgentSurroundings {
  readonly environment: Readonly<Record<string, string | undefined>>;
  readonly stopping: () => Promise<void>;
  readonly print: (line: string) => void;
}

/** Of the programs of one machine or pod. */
const CONNECTIONS = 100;

/** `strongroom identity-agent`: managed identities for a workload whose platform gives it federated tokens. */
export function addIdentityAgent(
  program: Command,
  run: (action: () => Promise<void>) => Promise<void>,
  surroundings: AgentSurroundings,
): void {
  program
    .command('identity-agent')
    .description(
      "serves App Service's identity endpoint beside a workload, which it signs in with the federated token of AZURE_FEDERATED_TOKEN_FILE",
    )
    .option(
      '--header-file <file>',
      'where the secret that the workload shows is read, or written (mode 0600) where there is none',
    )
    .argument('[command...]', 'the workload: started with IDENTITY_ENDPOINT and IDENTITY_HEADER')
    .action((command: string[], options: AgentOptions) =>
      run(() => serveIdentity(command, options, surroundings)),
    );
}

async function serveIdentity(
  command: readonly string[],
  { headerFile }: AgentOptions,
  { environment, stopping, print }: AgentSurroundings,
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
  const host = listen.host.includes(':') ? `[${listen.host}]` : listen.host;
  const endpoint = `http://${host}:${port}/msi/token`;
  try {
    const [program, ...args] = command;
    if (program === undefined) {
      print(`Managed identity ${clientId}: IDENTITY_ENDPOINT=${endpoint}`);
      await stopping();
    } else {
      // With the token's file at hand Microsoft's libraries would use that, and not ask here.
      const env = {
        ...environment,
        AZURE_FEDERATED_TOKEN_FILE: undefined,
        IDENTITY_ENDPOINT: endpoint,
        IDENTITY_HEADER: header,
      };
      process.exitCode = await outlive(spawn(program, args, { stdio: 'inherit', env }), stopping());
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
