import { z } from 'zod';
import type { AccessService, ConsideredAssignment } from '../../core/access/access-service.ts';
import { optional } from '../values/optional.ts';
import { DefinitionProperties, serializeAssignment, serializeTime } from './roles.schema.ts';
import { route } from '../route.ts';
import type { Routes } from '../routes.ts';
import { text } from '../values/text.ts';

const ExplainRequest = z.object({
  principalId: text(256),
  groups: optional(z.array(text(256)).max(200)).transform((groups) => groups ?? []),
  action: text(256),
  scope: text(256),
});

const DryRunRequest = z.object({
  changes: z
    .array(
      z.discriminatedUnion('type', [
        z.object({
          type: z.literal('assign'),
          principalId: text(256),
          roleDefinitionId: text(512),
          scope: text(256),
        }),
        z.object({ type: z.literal('revoke'), name: text(64), scope: text(256) }),
        z.object({
          type: z.literal('define'),
          name: text(64),
          properties: DefinitionProperties,
        }),
        z.object({ type: z.literal('undefine'), name: text(64) }),
      ]),
    )
    .min(1)
    .max(50),
});

const pool = {
  method: 'post',
  action: 'Strongroom/access/explain/action',
  params: () => ({}),
  scope: () => '/' as const,
  key: null,
} as const;

/** Why somebody may do something, and what a change of policy would do. */
export function addAccessRoutes(routes: Routes, access: AccessService): void {
  route(routes, {
    ...pool,
    path: '/access/explain',
    operation: 'AccessExplain',
    keyMaterial: 'none',
    body: ExplainRequest,
    handler: async ({ body }) => {
      const { isAllowed, action, scope, considered } = await access.explain(body);
      const allowing = considered.filter(({ verdict }) => verdict === 'allows');
      const others = considered.filter(({ verdict }) => verdict !== 'allows');
      return {
        action,
        allowed: isAllowed,
        otherAssignments: others.map((one) => ({
          ...serializeConsidered(one, body.principalId),
          reason: one.verdict,
        })),
        principalId: body.principalId,
        scope,
        through: allowing.map((one) => serializeConsidered(one, body.principalId)),
      };
    },
  });

  route(routes, {
    ...pool,
    path: '/access/dryrun',
    operation: 'AccessDryRun',
    keyMaterial: 'none',
    body: DryRunRequest,
    handler: async ({ body }) => {
      const { gains, losses, isComplete } = await access.preview(body.changes);
      return { complete: isComplete, gains, losses };
    },
  });
}

function serializeConsidered({ assignment, role }: ConsideredAssignment, principalId: string) {
  const { id, expiresOn, principalId: holder, scope } = assignment;
  return {
    roleAssignment: serializeAssignment(assignment).id,
    name: id,
    scope,
    ...(holder.toLowerCase() !== principalId.toLowerCase() && { group: holder }),
    role: { name: assignment.roleDefinitionId, ...(role && { roleName: role.roleName }) },
    expiresOn: serializeTime(expiresOn),
  };
}
