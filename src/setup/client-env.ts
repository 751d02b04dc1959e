import { join } from 'node:path';
import type { ClientTrust } from './trust/client-trust.ts';
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
  readonly trust: ClientTrust;
  /** URL of the managed identity endpoint, where there is one. */
  readonly identityEndpoint?: string;
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
    // Unlike Node's, which adds to what Node trusts, these two take the place of it.
    REQUESTS_CA_BUNDLE: values.trust.bundleFile,
    SSL_CERT_FILE: values.trust.bundleFile,
  };
  const lines = Object.entries(variables).map(
    ([name, value]) => `${name}=${quoteForShell(value)}\n`,
  );
  const file = join(folder, 'client.env');
  const notes = [...notesOnJava(values.trust), ...notesOnIdentity(values.identityEndpoint)];
  await writeFileAtomically(file, lines.join('') + notes.map(toComment).join(''));
  return file;
}

/** Java reads options from this variable, split at spaces outside quotes, and says so on each start: not for everybody. */
function notesOnJava({ trustStoreFile, trustStorePassword }: ClientTrust): readonly string[] {
  const options = `-Djavax.net.ssl.trustStore=${quoteForJava(trustStoreFile)} -Djavax.net.ssl.trustStoreType=PKCS12 -Djavax.net.ssl.trustStorePassword=${trustStorePassword}`;
  return [
    'For Java, which has a trust store of its own:',
    `JAVA_TOOL_OPTIONS=${quoteForShell(options)}`,
  ];
}

function notesOnIdentity(endpoint: string | undefined): readonly string[] {
  if (endpoint === undefined) return [];
  return [
    'For a workload with a managed identity, in place of AZURE_CLIENT_SECRET. The header is {appId}.{client secret}:',
    `IDENTITY_ENDPOINT=${quoteForShell(endpoint)}`,
    'IDENTITY_HEADER="$AZURE_CLIENT_ID.$AZURE_CLIENT_SECRET"',
  ];
}

/** However many lines a path makes of it. */
function toComment(text: string): string {
  return text.replace(/^/gm, '# ') + '\n';
}

/** As the JVM reads JAVA_TOOL_OPTIONS: quotes of either kind, and no escapes. */
function quoteForJava(value: string): string {
  return /[\s"']/.test(value) ? `"${value.replaceAll('"', `"'"'"`)}"` : value;
}

/** Plain words stay plain, so that tools which read such files without a shell understand them too. */
export function quoteForShell(value: string): string {
  return /^[\w./:@%+,-]+$/.test(value) ? value : `'${value.replaceAll("'", `'\\''`)}'`;
}
