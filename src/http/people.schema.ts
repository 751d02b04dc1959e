import { z } from 'zod';
import { type Group, type GroupMember, type User } from '../core/directory.ts';
import { parseGuid } from '../core/role.ts';
import { displayName } from './display-name.ts';
import { text } from './text.ts';

/** Graph's objectIdentity. Of its sign-in types only `federated` means something here. */
const identities = z
  .array(
    z
      .object({
        signInType: z.literal('federated').optional(),
        issuer: text(512).min(1),
        issuerAssignedId: text(256).min(1),
      })
      .transform(({ issuer, issuerAssignedId }) => ({ issuer, subject: issuerAssignedId })),
  )
  .max(20);

export const CreateUserRequest = z
  .object({
    displayName: displayName.min(1),
    userPrincipalName: displayName.min(1),
    accountEnabled: z.boolean().default(true),
    identities: identities.default([]),
  })
  .transform(({ accountEnabled, ...user }) => ({ ...user, enabled: accountEnabled }));

export const UpdateUserRequest = z
  .object({
    displayName: displayName.min(1).optional(),
    accountEnabled: z.boolean().optional(),
    identities: identities.optional(),
  })
  .transform((edited) => ({
    ...(edited.displayName !== undefined && { displayName: edited.displayName }),
    ...(edited.accountEnabled !== undefined && { enabled: edited.accountEnabled }),
    ...(edited.identities !== undefined && { identities: edited.identities }),
  }));

export const UpdateServicePrincipalRequest = z.object({ accountEnabled: z.boolean() });

export const CreateGroupRequest = z
  .object({ displayName: displayName.min(1), description: text(1024).nullish() })
  .transform(({ description, ...group }) => ({
    ...group,
    ...(description && { description }),
  }));

const REFERENCE = /\/(?:directoryObjects|users|servicePrincipals|groups)\/([^/]+)$/;
/** `{ "@odata.id": "https://host/v1.0/directoryObjects/{id}" }`; the host doesn't matter. */
export const MemberReference = z.object({ '@odata.id': text(1024) }).transform((body) => {
  return parseGuid('The object id in @odata.id', REFERENCE.exec(body['@odata.id'])?.[1] ?? '');
});

/** Graph takes a thousand ids at a time; `types` only narrows what comes back. */
export const GetByIdsRequest = z.object({ ids: z.array(z.guid()).max(1000) });

export function presentUser(user: User) {
  return {
    id: user.id,
    accountEnabled: user.enabled,
    displayName: user.displayName,
    identities: user.identities.map(({ issuer, subject }) => ({
      issuer,
      issuerAssignedId: subject,
      signInType: 'federated',
    })),
    userPrincipalName: user.userPrincipalName,
  };
}

export function presentGroup(group: Group) {
  return {
    id: group.id,
    description: group.description ?? null,
    displayName: group.displayName,
    securityEnabled: true,
  };
}

export function presentMember({ id, kind, displayName: name }: GroupMember) {
  return { '@odata.type': `#microsoft.graph.${kind}`, id, displayName: name };
}
