import type { PolicyAssignment, PolicyPermission } from '../../../src/core/access/held-policy.ts';
import type { PolicyReader } from '../../../src/core/access/ports.ts';
import type { Scope } from '../../../src/core/access/role.ts';

/** Roles and assignments in memory; it remembers for whom it was asked, and how many lines it gave. */
export class FakePolicyReader implements PolicyReader {
  readonly #assignments = new Map<string, PolicyAssignment[]>();
  readonly #permissions = new Map<string, PolicyPermission[]>();
  readonly asked: (readonly string[])[] = [];
  lines = 0;
  /** When set, every read fails with it. */
  failure: Error | undefined;
  /** What happens between a read and its arrival. */
  afterRead: () => Promise<void> | void = () => undefined;

  get reads(): number {
    return this.asked.length;
  }

  define(roleDefinitionId: string, actions: readonly string[]): void {
    const permissions = actions.map((action) => ({ roleDefinitionId, action }));
    this.#permissions.set(roleDefinitionId, permissions);
  }

  assign(principalId: string, roleDefinitionId: string, scope: Scope, expiresOn?: number): void {
    const held = this.#assignments.get(principalId) ?? [];
    held.push({
      principalId,
      roleDefinitionId,
      scope,
      ...(expiresOn !== undefined && { expiresOn }),
    });
    this.#assignments.set(principalId, held);
  }

  /** Takes all of a principal's assignments away. */
  revoke(principalId: string): void {
    this.#assignments.delete(principalId);
  }

  async policyOf(principalIds: readonly string[]) {
    this.asked.push(principalIds);
    if (this.failure !== undefined) throw this.failure;
    const assignments = principalIds.flatMap((id) => this.#assignments.get(id) ?? []);
    const roleIds = new Set(assignments.map(({ roleDefinitionId }) => roleDefinitionId));
    const permissions = [...roleIds].flatMap((id) => this.#permissions.get(id) ?? []);
    this.lines += assignments.length + permissions.length;
    await this.afterRead();
    return { assignments, permissions };
  }
}
