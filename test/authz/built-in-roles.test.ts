import { describe, expect, test } from '@jest/globals';
import { parseRoles, readBuiltInRoles } from '../../src/authz/built-in-roles.ts';
import {
  ADMINISTRATOR_ROLE,
  CRYPTO_OFFICER_ROLE,
  CRYPTO_USER_ROLE,
} from '../../src/core/access/role.ts';

const SIGN = 'Microsoft.KeyVault/managedHsm/keys/sign/action';
const ID = '00000000-0000-4000-8000-00000000000a';
const ROLE = `role, ${ID}, Signer, Signs`;

describe('the roles that come with the service', () => {
  test('are Managed HSM’s nine, by its names and ids and in its order', async () => {
    const roles = await readBuiltInRoles();
    expect(roles.map(({ id, roleName }) => `${id} ${roleName}`)).toEqual([
      'a290e904-7015-4bba-90c8-60543313cdb4 Managed HSM Administrator',
      '515eb02d-2335-4d2d-92f2-b1cbdf9c3778 Managed HSM Crypto Officer',
      '21dbd100-6940-42c2-9190-5d6cb909625b Managed HSM Crypto User',
      '4bd23610-cdcf-4971-bdee-bdc562cc28e4 Managed HSM Policy Administrator',
      '2c18b078-7c48-4d3a-af88-5a3a1b3f82b3 Managed HSM Crypto Auditor',
      '33413926-3206-4cdd-b39a-83574fe37a17 Managed HSM Crypto Service Encryption User',
      '21dbd100-6940-42c2-9190-5d6cb909625c Managed HSM Crypto Service Release User',
      '7b127d3c-77bd-4e3e-bbe0-dbb8971fa7f8 Managed HSM Backup User',
      '6efe6056-5259-49d2-8b3d-d3d73544b20b Managed HSM Restore',
    ]);
  });

  test('bear the ids by which the code knows three of them', () => {
    expect([ADMINISTRATOR_ROLE, CRYPTO_OFFICER_ROLE, CRYPTO_USER_ROLE]).toEqual([
      'a290e904-7015-4bba-90c8-60543313cdb4',
      '515eb02d-2335-4d2d-92f2-b1cbdf9c3778',
      '21dbd100-6940-42c2-9190-5d6cb909625b',
    ]);
  });

  test('have a description, permissions without exceptions, and may be assigned anywhere', async () => {
    for (const role of await readBuiltInRoles()) {
      expect(role).toMatchObject({
        kind: 'built-in',
        permissions: [{ dataActions: role.actions, notDataActions: [] }],
        assignableScopes: ['/'],
      });
      expect(role.description).toMatch(/^[A-Z].{10,}$/);
      expect(role.actions.length).toBeGreaterThan(0);
    }
  });

  test('let nobody both make keys and delete them', async () => {
    for (const { actions } of await readBuiltInRoles())
      expect(
        ['keys/create', 'keys/delete'].every((name) =>
          actions.includes(`Microsoft.KeyVault/managedHsm/${name}`),
        ),
      ).toBe(false);
  });
});

describe('a file of roles', () => {
  test.each([
    ['with comments and empty lines', `# roles\n\n${ROLE}\n\n  \np, ${ID}, ${SIGN}\n`],
    ['with the line ends of Windows', `${ROLE}\r\np, ${ID}, ${SIGN}\r\n`],
    ['without spaces', `role,${ID},Signer,Signs\np,${ID},${SIGN}`],
    ['with an id in capitals', `${ROLE.toUpperCase().replace('ROLE', 'role')}\np, ${ID}, ${SIGN}`],
  ])('%s is read', (_, text) => {
    expect(parseRoles(text)).toMatchObject([{ id: ID, actions: [SIGN] }]);
  });

  test('gives roles in its order, with commas in their descriptions', () => {
    const other = ID.replace('a', 'b');
    expect(
      parseRoles(`role, ${other}, B, Signs, then rests\n${ROLE}\np, ${other}, ${SIGN}`),
    ).toMatchObject([
      { id: other, roleName: 'B', description: 'Signs, then rests', actions: [SIGN] },
      { id: ID, roleName: 'Signer', description: 'Signs', actions: [] },
    ]);
  });

  test.each([
    ['an unknown action', `p, ${ID}, ${SIGN}s`, 'no such action'],
    ['a wildcard', `p, ${ID}, Microsoft.KeyVault/managedHsm/keys/*`, 'no such action'],
    ['an action in other letters', `p, ${ID}, ${SIGN.toLowerCase()}`, 'no such action'],
    ['no action', `p, ${ID}`, 'no such action'],
    ['more than an action', `p, ${ID}, ${SIGN}, deny`, 'a role and an action'],
    ['a permission twice', `p, ${ID}, ${SIGN}\np, ${ID}, ${SIGN}`, 'already'],
    ['a permission of no known role', `p, ${ID.replace('a', 'b')}, ${SIGN}`, 'not been named'],
    ['a role without a description', `role, ${ID.replace('a', 'b')}, Name`, 'a description'],
    ['a role without a name', `role, ${ID.replace('a', 'b')}, , Text`, 'a name'],
    ['a role whose id is no GUID', 'role, signer, Signer, Signs', 'GUID'],
    ['a role twice', ROLE, 'taken'],
    ['a line of another kind', `g, alice, ${ID}, /`, 'begins with role or p'],
    ['a line that is cut off', 'rol', 'begins with role or p'],
  ])('with %s is refused, and its line is named', (_, lines, why) => {
    const last = 2 + lines.split('\n').length;
    expect(() => parseRoles(`# roles\n${ROLE}\n${lines}\n`)).toThrow(
      new RegExp(`^policies/roles\\.csv, line ${last}: .*${why}`),
    );
  });
});
