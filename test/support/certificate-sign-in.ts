import { createPrivateKey, randomUUID, X509Certificate } from 'node:crypto';
import { SignJWT } from 'jose';
import { type ClientCertificate, makeClientCertificate } from './client-certificates.ts';
import { type Caller, fetchToken } from './client.ts';
import { type Client, created } from './directory.ts';
import { onceARun } from './once-a-run.ts';

/**
 * One certificate by which the applications of a run sign in where it doesn't matter how: a secret costs the service 80 ms of
 * a core to make and as many to check, which is what it is for.
 */
const runCertificate = (): Promise<ClientCertificate> =>
  onceARun('client-certificate', () => makeClientCertificate());

/** That certificate as an element of an application's `keyCredentials`. */
export async function runCredential() {
  const key = Buffer.from((await runCertificate()).certificate).toString('base64');
  return { type: 'AsymmetricX509Cert', usage: 'Verify', key };
}

/** Gives an application that certificate, in place of those that it had. */
export async function registerCertificate(admin: Caller, client: Client): Promise<void> {
  const keyCredentials = [await runCredential()];
  await created(admin('PATCH', `/v1.0/applications/${client.applicationId}`, { keyCredentials }));
}

/** A token for an application that has that certificate. */
export async function signInByCertificate(
  service: { readonly port: number; readonly ca: string },
  appId: string,
  resource?: string,
): Promise<string> {
  const { certificate, privateKey } = await runCertificate();
  const thumbprint = new X509Certificate(certificate).fingerprint256.replaceAll(':', '');
  const assertion = await new SignJWT({ jti: randomUUID() })
    .setProtectedHeader({
      alg: 'RS256',
      'x5t#S256': Buffer.from(thumbprint, 'hex').toString('base64url'),
    })
    .setIssuer(appId)
    .setSubject(appId)
    .setAudience(`https://localhost:${service.port}/adfs/oauth2/token`)
    .setExpirationTime('10m')
    .sign(createPrivateKey(privateKey));
  return fetchToken(service, { clientId: appId, assertion }, resource);
}
