import { X509Certificate } from 'node:crypto';

/** Any certificate: only the side effect below is wanted of it. It has no private key any more. */
const CERTIFICATE = new X509Certificate(
  Buffer.from(
    'MIIBbDCCAROgAwIBAgIUVI1UbMagKUfeDKCEL7iYo4rGrGMwCgYIKoZIzj0EAwIwDDEKMAgGA1UEAwwBLTAeFw0yNjEx' +
      'MjQwMjA0MDlaFw0zNjExMjEwMjA0MDlaMAwxCjAIBgNVBAMMAS0wWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAASlHIHc' +
      'hEujCRVXWHn+jzSVNrFppR3B1638yO58fFrlV4wTpsYZXOu4iREFk1dug7nuCIaA1+hiZlqOJgPyA0Ago1MwUTAdBgNV' +
      'HQ4EFgQU3AWDL61TugZ0sUNRzE1fu4s1iIswHwYDVR0jBBgwFoAU3AWDL61TugZ0sUNRzE1fu4s1iIswDwYDVR0TAQH/' +
      'BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiAbPPpS6K+m/2Y61FC1bQhb6kqGXPyXWusFc+8QQRJOEQIgCynn7N5P+CMp' +
      'u3JhoKydYpSKGC1tjUKb3ideUnBez/s=',
    'base64',
  ),
);

/**
 * Empties this thread's OpenSSL error queue. A module that uses OpenSSL, as SoftHSM does, finds the symbols of the copy
 * that is built into Node, and so shares its error queue: what a failed verification leaves there is taken by Node's next
 * TLS read on the thread for an error of its own, and a healthy connection is cut with a 400. Of Node's functions that
 * clear the queue (ClearErrorOnReturn in its source) comparing two names is the cheapest, at a fifth of a microsecond.
 */
export function clearOpenSslErrors(): void {
  CERTIFICATE.checkIssued(CERTIFICATE);
}

/**
 * Calls a module in the thread that serves requests, and empties the error queue after the last call, whatever it answered:
 * a signature that isn't right is an answer too, and trying what a module can do leaves errors although all goes well. A
 * thread that reads no TLS needs none of this.
 */
export function withoutOpenSslErrors<T>(action: () => T): T {
  try {
    return action();
  } finally {
    clearOpenSslErrors();
  }
}
