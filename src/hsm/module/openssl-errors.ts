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
function clearOpenSslErrors(): void {
  CERTIFICATE.checkIssued(CERTIFICATE);
}

/** The binding's functions are members of each of its objects. */
type Binding = Record<string, unknown>;

/**
 * Has each call of a module that runs on this thread end with an empty error queue: operations, and opening and closing
 * the module as well. What the binding runs on libuv's threads leaves its errors there, where no TLS is read.
 */
export function clearAfterEachCall(library: object): void {
  const binding = library as Binding;
  for (const name of Object.keys(binding)) {
    const call = binding[name];
    if (!name.startsWith('C_') || typeof call !== 'function') continue;
    binding[name] = function (this: unknown, ...given: unknown[]): unknown {
      try {
        return Reflect.apply(call, this, given) as unknown;
      } finally {
        clearOpenSslErrors();
      }
    };
  }
}
