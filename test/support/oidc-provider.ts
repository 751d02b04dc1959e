import { fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { type CryptoKey, exportJWK, generateKeyPair, type JWK, SignJWT } from 'jose';

const PROVIDER = fileURLToPath(new URL('./oidc-provider.mjs', import.meta.url));

export interface ProviderClient {
  readonly id: string;
  readonly secret: string;
  /** They stand in the client's access tokens besides the provider's own. */
  readonly claims: Readonly<Record<string, unknown>>;
}

export interface ProviderKey {
  readonly kid: string;
  readonly privateKey: CryptoKey;
  readonly publicJwk: JWK;
}

/** Undefined leaves one out. */
export type Claims = Readonly<Record<string, unknown>>;

export type OidcProvider = Awaited<ReturnType<typeof startProvider>>;

/** oidc-provider in a process of its own. The test makes its keys, so that it can sign what the provider never would. */
export async function startProvider(clients: readonly ProviderClient[]) {
  const child = fork(PROVIDER, {
    // Koa warns of a plain-HTTP issuer, which it is on purpose.
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    env: { PATH: process.env['PATH'] },
    execArgv: [],
  });
  const published: JWK[] = [];

  async function setKeys(): Promise<string> {
    const told = once(child, 'message') as Promise<[{ issuer: string }]>;
    child.send({ keys: published, clients });
    const [{ issuer }] = await told;
    return issuer;
  }

  /** A new key signs from now on; those before it stay published. */
  async function rotate(): Promise<ProviderKey> {
    const { privateKey, publicKey } = await generateKeyPair('RS256', { extractable: true });
    const kid = `key-${published.length + 1}`;
    published.unshift({ ...(await exportJWK(privateKey)), kid, use: 'sig', alg: 'RS256' });
    await setKeys();
    return { kid, privateKey, publicJwk: await exportJWK(publicKey) };
  }

  const key = await rotate();
  const issuer = await setKeys();

  /** By the client credentials grant, for a resource (RFC 8707). */
  async function issue(clientId: string, resource: string): Promise<string> {
    const client = clients.find(({ id }) => id === clientId);
    const answer = await fetch(`${issuer}/token`, {
      method: 'POST',
      headers: {
        authorization: `Basic ${Buffer.from(`${clientId}:${client?.secret ?? ''}`).toString('base64')}`,
      },
      body: new URLSearchParams({ grant_type: 'client_credentials', resource, scope: 'use' }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`the provider answered ${answer.status}: ${text}`);
    return (JSON.parse(text) as { access_token: string }).access_token;
  }

  return {
    issuer,
    /** The first one. */
    key,
    issue,
    rotate,
    async kill() {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const exit = once(child, 'exit');
      child.kill('SIGKILL');
      await exit;
    },
  };
}

/** A token by that key with any claims and header. */
export function signToken(
  { kid, privateKey }: Pick<ProviderKey, 'kid' | 'privateKey'>,
  claims: Claims,
  header: Readonly<Record<string, unknown>> = {},
): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: 'RS256', typ: 'at+jwt', kid, ...header })
    .sign(privateKey);
}
