import { readFile } from 'node:fs/promises';
import { ACTIONS } from '../core/access/actions.ts';
import { isGuid } from '../core/guid.ts';
import type { RoleDefinition } from '../core/access/role.ts';
import { packageFile } from '../core/package-file.ts';

const FILE = packageFile('policies/roles.csv');

/** A role together with what it comes to: here the actions as written, since built-in roles use no wildcards. */
export type BuiltInRole = RoleDefinition & { readonly actions: readonly string[] };

/** The built-in roles of policies/roles.csv, in its order. @throws Error that names the first wrong line */
export async function readBuiltInRoles(): Promise<readonly BuiltInRole[]> {
  return parseRoles(await readFile(FILE, 'utf8'));
}

/** Fields are separated by commas, without quoting; a description is the rest of its line. */
export function parseRoles(text: string): readonly BuiltInRole[] {
  const roles: { id: string; roleName: string; description: string; actions: string[] }[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const wrong = (why: string) => new Error(`policies/roles.csv, line ${index + 1}: ${why}`);
    const [kind, id = '', ...rest] = line.split(',').map((field) => field.trim());
    if (kind === 'role') {
      const [roleName = '', ...words] = rest;
      const description = words.join(', ');
      if (roleName === '' || description === '')
        throw wrong('a role has an id, a name and a description');
      if (!isGuid(id)) throw wrong('the id of a role is a GUID');
      if (roles.some((known) => known.id === id.toLowerCase())) throw wrong('the id is taken');
      roles.push({ id: id.toLowerCase(), roleName, description, actions: [] });
    } else if (kind === 'p') {
      const [action = '', ...more] = rest;
      const role = roles.find((known) => known.id === id.toLowerCase());
      if (role === undefined) throw wrong('the role has not been named before');
      if (more.length > 0) throw wrong('a permission has a role and an action');
      if (!ACTIONS.some((known) => known === action)) throw wrong('there is no such action');
      if (role.actions.includes(action)) throw wrong('the role has this action already');
      role.actions.push(action);
    } else throw wrong('a line begins with role or p');
  }
  return roles.map((role) => ({
    ...role,
    kind: 'built-in',
    permissions: [{ dataActions: role.actions, notDataActions: [] }],
    assignableScopes: ['/'],
  }));
}
