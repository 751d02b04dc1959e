// An OpenID provider that knows nothing of Strongroom (oidc-provider), as a process of its own: what it issues, and with
// which keys, its parent tells it by messages `{ keys, clients }`; `claims` of a client stand in its tokens.
import { createServer } from 'node:http';
import process from 'node:process';
import Provider from 'oidc-provider';

const RESOURCE_SCOPE = 'use';

let answer;
const server = createServer((req, res) => answer(req, res));
await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
const issuer = `http://127.0.0.1:${server.address().port}`;

process.on('message', ({ keys, clients }) => {
  const claimsOf = new Map(clients.map(({ id, claims }) => [id, claims]));
  const provider = new Provider(issuer, {
    // The first one signs; all are published.
    jwks: { keys },
    clients: clients.map(({ id, secret }) => ({
      client_id: id,
      client_secret: secret,
      grant_types: ['client_credentials'],
      redirect_uris: [],
      response_types: [],
    })),
    extraTokenClaims: (_context, token) => claimsOf.get(token.clientId),
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        getResourceServerInfo: (_context, resource) => ({
          audience: resource,
          scope: RESOURCE_SCOPE,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'RS256' } },
        }),
      },
    },
  });
  answer = provider.callback();
  process.send({ issuer });
});
process.on('disconnect', () => process.exit(0));
