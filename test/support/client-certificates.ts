// The certificate library needs the polyfill to be there before it.
import 'reflect-metadata';
import { cryptoProvider, X509CertificateGenerator } from '@peculiar/x509';
import { KeyObject, webcrypto } from 'node:crypto';
import type { Caller } from './client.ts';
import { type Client, created } from './directory.ts';

cryptoProvider.set(webcrypto);

const DAY_MS = 86_400_000;

export interface ClientCertificate {
  /** PEM. */
  readonly certificate: string;
  readonly privateKey: string;
}

/** A certificate as an application's owner makes it for itself: RSA 2048, self-signed. */
export async function makeClientCertificate(
  from = new Date(Date.now() - DAY_MS),
  until = new Date(Date.now() + DAY_MS),
): Promise<ClientCertificate> {
  const algorithm = {
    name: 'RSASSA-PKCS1-v1_5',
    hash: 'SHA-256',
    modulusLength: 2048,
    publicExponent: new Uint8Array([1, 0, 1]),
  };
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: 'CN=workload',
    notBefore: from,
    notAfter: until,
    signingAlgorithm: algorithm,
    keys,
  });
  return {
    certificate: certificate.toString('pem'),
    privateKey: KeyObject.from(keys.privateKey).export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** Gives an application a new certificate to sign in with, in place of those that it had. */
export async function replaceCertificate(
  admin: Caller,
  client: Client,
): Promise<ClientCertificate> {
  const made = await makeClientCertificate();
  const key = Buffer.from(made.certificate).toString('base64');
  await created(
    admin('PATCH', `/v1.0/applications/${client.applicationId}`, {
      keyCredentials: [{ type: 'AsymmetricX509Cert', usage: 'Verify', key }],
    }),
  );
  return made;
}
