import { lookup } from 'node:dns/promises';
import { resolve } from 'node:path';
import { formatAddress } from '../config/address.ts';
import type { Config } from '../config/config.ts';
import type { Supervisor } from '../process/supervisor.ts';
import { quoteForShell, writeClientEnvironment } from '../setup/client-env.ts';
import { writeClientTrust } from '../setup/trust/client-trust.ts';
import type { CliContext } from './cli-context.ts';
import type { Surroundings } from './development.ts';

/** Ends the start, and prints where the service is and how a client reaches it. */
export async function printStart(
  print: CliContext['print'],
  config: Config,
  { development }: Surroundings,
  supervisor: Supervisor,
): Promise<void> {
  const { port, identityPort } = supervisor;
  const suffix = port === 443 ? '' : `:${port}`;
  const host = `${config.pool}.${config.domain}`;
  const identityEndpoint =
    config.identityListen === undefined || identityPort === undefined
      ? undefined
      : `http://${formatAddress({ ...config.identityListen, port: identityPort })}/msi/token`;
  if (development !== undefined) {
    const { administrator, caFile, folder } = development;
    const trusted = resolve(caFile ?? config.tls?.certificateFile ?? '');
    const file = await writeClientEnvironment(folder.path, {
      ...administrator,
      managedHsmUrl: `https://${host}${suffix}`,
      authorityHost: `https://localhost${suffix}`,
      caFile: trusted,
      trust: await writeClientTrust(folder.path, trusted),
      ...(identityEndpoint !== undefined && { identityEndpoint }),
    });
    print(`Client settings of the first administrator: set -a; . ${quoteForShell(file)}`);
    if (!(await resolves(host)))
      print(
        `${host} does not resolve on this machine. Add this line to /etc/hosts:\n127.0.0.1 ${host}\n` +
          `Without it https://localhost${suffix} works with the client option that switches off challenge resource verification.`,
      );
  }
  if (identityEndpoint !== undefined)
    print(
      `Managed identities: IDENTITY_ENDPOINT=${identityEndpoint} IDENTITY_HEADER={appId}.{client secret}`,
    );
  const { parts, reason } = await supervisor.endStart();
  const away = Object.keys(parts).filter((name) => parts[name] === false);
  print(
    away.length === 0
      ? `Strongroom is ready: https://${host}${suffix}`
      : `Strongroom is not ready: https://${host}${suffix} answers, but these parts don't work: ${away.join(', ')}. ${reason ?? 'The log says why.'}`,
  );
}

function resolves(host: string): Promise<boolean> {
  return lookup(host).then(
    () => true,
    () => false,
  );
}
