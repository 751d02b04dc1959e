import { readFile } from 'node:fs/promises';
import { isGuid } from '../core/guid.ts';
import { packageFile } from '../core/package-file.ts';
import { actionsOf, type ControlRole } from '../core/resources/control-role.ts';

const FILE = packageFile('policies/control-plane/roles.csv');

/** The roles of the control plane, in the file's order. @throws Error that names the first wrong line */
export async function readControlRoles(): Promise<readonly ControlRole[]> {
  return parseControlRoles(await readFile(FILE, 'utf8'));
}

/** Fields are separated by commas, without quoting; a description is the rest of its line. */
export function parseControlRoles(text: string): readonly ControlRole[] {
  const roles: (ControlRole & { actions: string[]; notActions: string[] })[] = [];
  for (const [index, line] of text.split('\n').entries()) {
    if (line.trim() === '' || line.startsWith('#')) continue;
    const wrong = (why: string) =>
      new Error(`policies/control-plane/roles.csv, line ${index + 1}: ${why}`);
    const [kind, id = '', first = '', ...rest] = line.split(',').map((field) => field.trim());
    const role = roles.find((known) => known.id === id);
    if (kind === 'role') {
      if (!isGuid(id) || id !== id.toLowerCase()) throw wrong('the id of a role is a GUID');
      if (role !== undefined) throw wrong('the id is taken');
      if (first === '' || rest.length === 0) throw wrong('a role has a name and a description');
      roles.push({
        id,
        roleName: first,
        description: rest.join(', '),
        actions: [],
        notActions: [],
      });
    } else if (kind === 'a' || kind === 'n') {
      if (role === undefined) throw wrong('the role has not been named before');
      if (rest.length > 0 || actionsOf({ actions: [first], notActions: [] }).length === 0)
        throw wrong('there is no such action');
      (kind === 'a' ? role.actions : role.notActions).push(first);
    } else throw wrong('a line begins with role, a or n');
  }
  return roles;
}
