// The certificate library needs the polyfill to be there before it.
import 'reflect-metadata';
import {
  BasicConstraintsExtension,
  cryptoProvider,
  type X509Certificate,
  X509CertificateGenerator,
  SubjectAlternativeNameExtension,
} from '@peculiar/x509';
import { KeyObject, webcrypto } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';

cryptoProvider.set(webcrypto);

const DAY_MS = 86_400_000;
const ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' };

interface Issuer {
  readonly certificate: X509Certificate;
  readonly keys: webcrypto.CryptoKeyPair;
}

/** PEM files: an authority, a server's certificate of the name `localhost`, and one of the client `strongroom`. */
export interface DatabaseCertificates {
  readonly authority: string;
  readonly server: { readonly certificate: string; readonly key: string };
  readonly client: { readonly certificate: string; readonly key: string };
  /** Which has signed none of them. */
  readonly stranger: string;
}

export async function makeDatabaseCertificates(folder: string): Promise<DatabaseCertificates> {
  const authority = await makeAuthority('authority');
  const stranger = await makeAuthority('stranger');
  const file = async (name: string, text: string) => {
    const path = join(folder, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  };
  const leaf = async (name: string, issuer: Issuer) => {
    const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign']);
    const certificate = await X509CertificateGenerator.create({
      ...validity(),
      subject: `CN=${name}`,
      issuer: issuer.certificate.subject,
      publicKey: keys.publicKey,
      signingKey: issuer.keys.privateKey,
      signingAlgorithm: ALGORITHM,
      extensions: [new SubjectAlternativeNameExtension([{ type: 'dns', value: name }])],
    });
    return {
      certificate: await file(`${name}.pem`, certificate.toString('pem')),
      key: await file(`${name}.key`, pemOf(keys.privateKey)),
    };
  };
  return {
    authority: await file('authority.pem', authority.certificate.toString('pem')),
    stranger: await file('stranger.pem', stranger.certificate.toString('pem')),
    server: await leaf('localhost', authority),
    client: await leaf('strongroom', authority),
  };
}

async function makeAuthority(name: string): Promise<Issuer> {
  const keys = await webcrypto.subtle.generateKey(ALGORITHM, true, ['sign', 'verify']);
  const certificate = await X509CertificateGenerator.createSelfSigned({
    ...validity(),
    name: `CN=${name}`,
    keys,
    signingAlgorithm: ALGORITHM,
    extensions: [new BasicConstraintsExtension(true, undefined, true)],
  });
  return { certificate, keys };
}

function validity() {
  return {
    serialNumber: '01',
    notBefore: new Date(Date.now() - DAY_MS),
    notAfter: new Date(Date.now() + DAY_MS),
  };
}

function pemOf(key: webcrypto.CryptoKey): string {
  return KeyObject.from(key).export({ type: 'pkcs8', format: 'pem' }).toString();
}
