import { createPrivateKey } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { readRsaCertificate } from '../../src/core/recovery/security-domain/rsa-certificate.ts';

/**
 * A security domain that az's own functions have made (`test/clients/security_domain.py make`), with all of its keys: any 2 of
 * 3 custodians open it.
 */
const made = JSON.parse(readFileSync(new URL('./azure-domain.json', import.meta.url), 'utf8')) as {
  readonly domain: DomainJson;
  readonly entries: readonly { readonly tag: string; readonly text: string }[];
  readonly custodians: readonly KeyPair[];
  readonly transferKey: KeyPair;
};

/** PEM. */
interface KeyPair {
  readonly certificate: string;
  readonly privateKey: string;
}

/** As the file has it; tests alter it. */
export interface DomainJson {
  EncData: { data: { compact_jwe: string; tag: string }[]; kdf: string };
  SharedKeys: {
    enc_shares: { enc_key: string; x5t_256: string }[];
    key_algorithm: string;
    required: number;
  };
  version: number;
}

const parse = ({ certificate, privateKey }: KeyPair) => ({
  pem: { certificate, privateKey },
  certificate: readRsaCertificate(Buffer.from(certificate)),
  privateKey: createPrivateKey(privateKey),
});

export const azureDomain = {
  /** A copy, which a test may alter. */
  json: (): DomainJson => structuredClone(made.domain),
  text: JSON.stringify(made.domain),
  entries: made.entries.map(({ tag, text }) => ({ tag, plaintext: Buffer.from(text) })),
  custodians: made.custodians.map(parse) as [Pair, Pair, Pair],
  transferKey: parse(made.transferKey),
};

export type Pair = ReturnType<typeof parse>;

/** Each two of the three. */
export const PAIRS = [
  [0, 1],
  [0, 2],
  [1, 2],
] as const;
