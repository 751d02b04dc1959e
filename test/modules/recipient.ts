import { constants, createDecipheriv, privateDecrypt } from 'node:crypto';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { makeEnvironment, startAttestationAuthority } from '../support/attestation-authority.ts';

/** An attested environment to which keys may be released. */
export interface Recipient {
  /** Of a service that is to believe the authority that speaks for it. */
  readonly settings: Readonly<Record<string, string>>;
  /** What a key is made with, besides what it is. */
  readonly exportable: object;
  /** What is sent to `/release`. */
  target(): Promise<string>;
  /** The key in what `/release` answers: PKCS #8, or a bare secret. */
  open(value: string): Buffer;
  close(): Promise<void>;
}

interface Payload {
  readonly response: { readonly key: { readonly key: { readonly key_hsm: string } } };
}

export async function startRecipient(): Promise<Recipient> {
  const authority = await startAttestationAuthority();
  const environment = makeEnvironment();
  const folder = await mkdtemp(join(tmpdir(), 'strongroom-test-'));
  const file = join(folder, 'attestation-ca.pem');
  await writeFile(file, authority.ca);
  const anyOf = [{ authority: authority.url, allOf: [{ claim: 'tee', equals: 'true' }] }];
  return {
    settings: {
      STRONGROOM_ATTESTATION_AUTHORITIES: authority.url,
      STRONGROOM_ATTESTATION_CA_FILE: file,
    },
    exportable: {
      attributes: { exportable: true },
      release_policy: {
        data: Buffer.from(JSON.stringify({ version: '1.0', anyOf })).toString('base64url'),
      },
    },
    target: () => authority.attest({ tee: true, 'x-ms-runtime': environment.runtime }),
    open(value) {
      const { response } = decodeJwt<Payload>(value);
      const blob = Buffer.from(response.key.key.key_hsm, 'base64url').toString();
      const { ciphertext } = JSON.parse(blob) as { ciphertext: string };
      const bytes = Buffer.from(ciphertext, 'base64url');
      const transport = privateDecrypt(
        {
          key: environment.privateKey,
          padding: constants.RSA_PKCS1_OAEP_PADDING,
          oaepHash: 'sha1',
        },
        bytes.subarray(0, 256),
      );
      const iv = Buffer.from('a65959a6', 'hex');
      const decipher = createDecipheriv('id-aes256-wrap-pad', transport, iv);
      return Buffer.concat([decipher.update(bytes.subarray(256)), decipher.final()]);
    },
    async close() {
      await authority.close();
      await rm(folder, { recursive: true, force: true });
    },
  };
}
