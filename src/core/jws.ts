/**
 * A compact JWS (RFC 7515 §7.1) that is signed elsewhere, in the HSM: `sign` gets the bytes that the signature is over.
 * @param header with `alg`; it and the payload become JSON
 */
export async function signJws(
  header: object,
  payload: object,
  sign: (bytes: Uint8Array) => Promise<Uint8Array>,
): Promise<string> {
  const encode = (bytes: Uint8Array | string) => Buffer.from(bytes).toString('base64url');
  const signed = `${encode(JSON.stringify(header))}.${encode(JSON.stringify(payload))}`;
  return `${signed}.${encode(await sign(Buffer.from(signed)))}`;
}
