import { describe, expect, test } from '@jest/globals';
import { parseControlRoles, readControlRoles } from '../../src/authz/control-roles.ts';
import { ACTIONS } from '../../src/core/access/actions.ts';
import { CONTROL_ACTIONS } from '../../src/core/resources/actions.ts';
import { actionsOf, givesAway } from '../../src/core/resources/control-role.ts';

const roles = await readControlRoles();

describe('roles of the control plane', () => {
  test("are Azure's, in this order, and these give roles away", () => {
    expect(roles.map((role) => [role.roleName, actionsOf(role).length, givesAway(role)])).toEqual([
      ['Owner', CONTROL_ACTIONS.length, true],
      ['Contributor', CONTROL_ACTIONS.length - 2, false],
      ['Reader', CONTROL_ACTIONS.filter((action) => action.endsWith('/read')).length, false],
      ['User Access Administrator', expect.any(Number), true],
      ['Managed HSM contributor', 8, false],
    ]);
  });

  test('hold no action of the data plane, whatever their wildcards', () => {
    const ofKeys = new Set<string>(ACTIONS);
    expect(CONTROL_ACTIONS.filter((action) => ofKeys.has(action))).toEqual([]);
  });

  test.each([
    ['role, x, Name, what', 'the id of a role is a GUID'],
    ['role, 8e3af657-a8ff-443c-a75c-2fe8c4bcb635, Name', 'a name and a description'],
    ['a, 8e3af657-a8ff-443c-a75c-2fe8c4bcb635, *', 'has not been named'],
    [
      'role, 8e3af657-a8ff-443c-a75c-2fe8c4bcb635, Name, what\na, 8e3af657-a8ff-443c-a75c-2fe8c4bcb635, No/such',
      'line 2: there is no such action',
    ],
    ['p, x, y', 'begins with role, a or n'],
  ])('are not read from %p', (text, sentence) => {
    expect(() => parseControlRoles(text)).toThrow(sentence);
  });
});
