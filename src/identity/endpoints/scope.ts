import { Refusal } from '../refusal.ts';

/**
 * OpenID Connect's own words (Core 1.0 §5.4, §11). MSAL for Go and for Java put three of them into every request, and they
 * mean nothing where a client signs in for itself.
 */
const OPENID_WORDS = new Set([
  ...['openid', 'profile', 'email', 'address', 'phone', 'offline_access'],
]);

/** What a permission is called after its resource: `.default` for all of them, or one, such as `user_impersonation`. */
const PERMISSION = /^(?<resource>https:\/\/[^/\s]+\/?)\/(?<permission>[\w.-]+)$/i;
const DEFAULT = /\/\.default$/i;

/**
 * The one resource that the words of a `scope` name (RFC 6749 §3.3), as the client wrote it. A word may come twice.
 * @throws Refusal invalid_scope where they name none or several, with Entra ID's numbers for that
 */
export function readScope(scope: string): string {
  const words = scope.split(/\s+/).filter((word) => word !== '');
  const resources = words.filter((word) => !OPENID_WORDS.has(word.toLowerCase())).map(resourceOf);
  const [first, ...others] = resources;
  if (first === undefined)
    throw new Refusal(
      400,
      'invalid_scope',
      1002012,
      'The scope names no resource: it must hold a resource with /.default after it.',
    );
  if (others.some((other) => spelled(other) !== spelled(first)))
    throw new Refusal(400, 'invalid_scope', 28000, 'The scope names more than one resource.');
  return first;
}

function resourceOf(word: string): string {
  return PERMISSION.exec(word)?.groups?.['resource'] ?? word.replace(DEFAULT, '');
}

/** The same resource is spelled the same: without regard to case, and to a slash at its end. */
function spelled(resource: string): string {
  return (URL.canParse(resource) ? new URL(resource).href : resource)
    .toLowerCase()
    .replace(/\/$/, '');
}
