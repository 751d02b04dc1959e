const LOOPBACK = ['localhost', '127.0.0.1', '[::1]'];

/**
 * Whether an OIDC issuer may have this URL: https, or http on this machine, since its keys are fetched from there; without
 * query, fragment (OpenID Connect Discovery 1.0 §3), user name or password.
 */
export function isIssuerUrl(text: string): boolean {
  if (!URL.canParse(text)) return false;
  const { protocol, hostname, search, hash, username, password } = new URL(text);
  const isOnThisMachine = protocol === 'http:' && LOOPBACK.includes(hostname);
  return (
    (protocol === 'https:' || isOnThisMachine) && `${search}${hash}${username}${password}` === ''
  );
}
