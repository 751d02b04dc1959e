import { describe, expect, test } from '@jest/globals';
import { ACTIONS } from '../../src/core/access/actions.ts';
import { CONTROL_ACTIONS } from '../../src/core/resources/actions.ts';
import { listManagedIdentityRoutes, listRoutes } from '../support/routes.ts';

const ROUTES = [...listRoutes(), ...listManagedIdentityRoutes()];
const nameOf = ({ method, path }: { method: string; path: string }) => `${method} ${path}`;
const namesOf = (isSuch: (route: (typeof ROUTES)[number]) => boolean) => [
  ...new Set(ROUTES.filter(isSuch).map(nameOf)),
];
const tenantPaths = (paths: readonly string[]) =>
  paths.flatMap((path) => [`/:tenant/${path}`, `/adfs/:tenant/${path}`]);

test('every route was declared: who may call it, which key it is about, and what of keys it sends', () => {
  expect(ROUTES.length).toBeGreaterThan(100);
  for (const route of ROUTES)
    expect([nameOf(route), route.definition]).toEqual([
      nameOf(route),
      expect.objectContaining({
        action: expect.any(String),
        keyMaterial: expect.stringMatching(/^(?:none|public|wrapped|plain|credential)$/),
      }),
    ]);
});

test('these routes are open to anybody, and every other one needs an action that roles can give', () => {
  const open = ROUTES.filter(({ definition }) => definition?.action === 'public');
  expect([...new Set(open.map(nameOf))]).toEqual([
    ...['/healthz', '/readyz'].flatMap((path) => [`GET ${path}`, `OPTIONS ${path}`]),
    ...['/common/discovery/instance', '/metadata/endpoints'].map((path) => `GET ${path}`),
    ...tenantPaths([
      'v2.0/.well-known/openid-configuration',
      '.well-known/openid-configuration',
      'discovery/v2.0/keys',
      'discovery/keys',
    ]).map((path) => `GET ${path}`),
    ...tenantPaths(['oauth2/token', 'oauth2/v2.0/token']).map((path) => `POST ${path}`),
    'GET /msi/token',
  ]);
  const actions = new Set<string>([...ACTIONS, ...CONTROL_ACTIONS]);
  const unknown = ROUTES.filter(
    ({ definition }) => definition?.action !== 'public' && !actions.has(definition?.action ?? ''),
  );
  expect(unknown.map(nameOf)).toEqual([]);
});

describe('what routes send of keys', () => {
  test('bytes in the clear leave by these routes alone', () => {
    expect(namesOf(({ definition }) => definition?.keyMaterial === 'plain')).toEqual([
      'POST /keys/:name/decrypt',
      'POST /keys/:name/:version/decrypt',
      'POST /keys/:name/unwrapkey',
      'POST /keys/:name/:version/unwrapkey',
      'POST /rng',
    ]);
  });

  test('tokens and client secrets leave by these routes alone', () => {
    expect(namesOf(({ definition }) => definition?.keyMaterial === 'credential')).toEqual([
      ...tenantPaths(['oauth2/token']).map((path) => `POST ${path}`),
      ...tenantPaths(['oauth2/v2.0/token']).map((path) => `POST ${path}`),
      'POST /v1.0/applications/:id/addPassword',
      'GET /msi/token',
    ]);
  });

  test('wrapped keys leave by these routes alone', () => {
    const versioned = (name: string) => [
      `POST /keys/:name/${name}`,
      `POST /keys/:name/:version/${name}`,
    ];
    expect(namesOf(({ definition }) => definition?.keyMaterial === 'wrapped')).toEqual([
      ...['encrypt', 'wrapkey', 'release', 'securewrapkey', 'secureunwrapkey'].flatMap(versioned),
      'POST /keys/:name/backup',
      'POST /securitydomain/download',
    ]);
  });
});

test('every route of a key says which one it is about', () => {
  const about = namesOf(({ definition }) => definition?.key !== null);
  const named = namesOf(({ path }) => /^\/(?:deleted)?keys\/:name/.test(path));
  expect(about).toEqual(named);
});
