import { join } from 'node:path';
import { writeFileAtomically } from './private-file.ts';

/** What an official Azure client needs to work as the first administrator. */
export interface ClientEnvironment {
  /** https://{pool}.{domain}[:port] */
  readonly managedHsmUrl: string;
  readonly clientId: string;
  readonly clientSecret: string;
  readonly authorityHost: string;
  /** The object id that role assignments name. */
  readonly principalId: string;
  /** Absolute path of the CA that signed the server's certificate. */
  readonly caFile: string;
}

/**
 * Writes `client.env`, readable by its owner only, for `set -a; . client.env`.
 * @returns its path
 */
export async function writeClientEnvironment(
  folder: string,
  values: ClientEnvironment,
): Promise<string> {
  const variables = {
    AZURE_MANAGEDHSM_URL: values.managedHsmUrl,
    // With this tenant the Microsoft libraries skip their call to Microsoft's servers.
    AZURE_TENANT_ID: 'adfs',
    AZURE_CLIENT_ID: values.clientId,
    AZURE_CLIENT_SECRET: values.clientSecret,
    AZURE_AUTHORITY_HOST: values.authorityHost,
    AZURE_PRINCIPAL_ID: values.principalId,
    NODE_EXTRA_CA_CERTS: values.caFile,
    REQUESTS_CA_BUNDLE: values.caFile,
    SSL_CERT_FILE: values.caFile,
  };
  const lines = Object.entries(variables).map(
    ([name, value]) => `${name}=${quoteForShell(value)}\n`,
  );
  const file = join(folder, 'client.env');
  await writeFileAtomically(file, lines.join(''));
  return file;
}

/** Plain words stay plain, so that tools which read such files without a shell understand them too. */
export function quoteForShell(value: string): string {
  return /^[\w./:@%+,-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
