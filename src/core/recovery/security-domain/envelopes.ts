import type { KeyObject } from 'node:crypto';

/** Encryption into texts (compact JWE, RFC 7516) whose contents can't be altered unnoticed. */
export interface Envelopes {
  /** To whoever has the private half of an RSA key. */
  sealTo(publicKey: KeyObject, plaintext: Uint8Array): Promise<string>;
  /** Undefined for what isn't for this key, or was altered. */
  openWith(privateKey: KeyObject, envelope: string): Promise<Uint8Array | undefined>;
  /** The same with a private key that is elsewhere, in an HSM. */
  openBy(unwrap: UnwrapContentKey, envelope: string): Promise<Uint8Array | undefined>;
  /** @param key 64 bytes @param name which stands readable in the envelope's header */
  seal(key: Uint8Array, name: string, plaintext: Uint8Array): Promise<string>;
  /** Undefined for what wasn't made with this key, or was altered. */
  open(key: Uint8Array, envelope: string): Promise<Uint8Array | undefined>;
}

/** RSA-OAEP with SHA-256 (RFC 7518 §4.3). Undefined for what the private key doesn't open. */
export type UnwrapContentKey = (wrapped: Uint8Array) => Promise<Uint8Array | undefined>;
