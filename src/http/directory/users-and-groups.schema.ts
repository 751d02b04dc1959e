import { z } from 'zod';
import type { Group, GroupMember, User } from '../../core/directory/directory.ts';
import { parseGuid } from '../../core/guid.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { displayName } from './display-name.ts';
import { graphBody } from './graph-body.ts';
import { GROUP, USER } from './graph-model.ts';
import { optional } from '../values/optional.ts';
import { guid, text } from '../values/text.ts';

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

/** Graph's own rule: ASCII, and nothing that ends a name in an address. */
const mailNickname = text(64)
  .regex(/^[\x21-\x7e]{1,64}$/)
  .regex(/^[^@()\\[\]";:<>,]*$/, {
    message: 'must not hold any of @ () \\ [] " ; : <> ,',
  });

export const CreateUserRequest = graphBody(
  {
    displayName: displayName.min(1),
    userPrincipalName: displayName.min(1),
    accountEnabled: optional(z.boolean()),
    identities: optional(identities),
    mailNickname: mailNickname.nullish(),
  },
  USER,
).transform(({ accountEnabled, identities: known, mailNickname: nickname, ...user }) => ({
  ...user,
  enabled: accountEnabled ?? true,
  identities: known ?? [],
  ...(nickname && { mailNickname: nickname }),
}));

/** In a change null takes away, and what is absent stays. */
export const UpdateUserRequest = graphBody(
  {
    displayName: displayName.min(1).optional(),
    userPrincipalName: displayName.min(1).optional(),
    accountEnabled: z.boolean().optional(),
    identities: identities.optional(),
    mailNickname: mailNickname.nullable().optional(),
  },
  USER,
).transform(({ accountEnabled, ...edited }) =>
  withoutUndefined({ ...edited, enabled: accountEnabled }),
);

/** Groups give their members what they hold, and nothing else. */
const groupForm = {
  mailEnabled: z.literal(false, { error: 'must be false: groups have no mailbox' }).nullish(),
  securityEnabled: z.literal(true, { error: 'must be true: all groups are' }).nullish(),
  groupTypes: z.array(z.unknown()).max(0, 'must be empty: members are added one by one').nullish(),
  membershipRule: z.null({ error: 'must be null: members are added one by one' }).optional(),
};

export const CreateGroupRequest = graphBody(
  {
    displayName: displayName.min(1),
    description: text(1024).nullish(),
    mailNickname: mailNickname.nullish(),
    ...groupForm,
  },
  GROUP,
).transform(({ displayName: name, description, mailNickname: nickname }) => ({
  displayName: name,
  ...(description && { description }),
  ...(nickname && { mailNickname: nickname }),
}));

export const UpdateGroupRequest = graphBody(
  {
    displayName: displayName.min(1).optional(),
    description: text(1024).nullable().optional(),
    mailNickname: mailNickname.nullable().optional(),
    ...groupForm,
  },
  GROUP,
).transform(({ displayName: name, description, mailNickname: nickname }) =>
  withoutUndefined({ displayName: name, description, mailNickname: nickname }),
);

const REFERENCE = /\/(?:directoryObjects|users|servicePrincipals|groups)\/([^/]+)$/;
/** `{ "@odata.id": "https://host/v1.0/directoryObjects/{id}" }`; the host doesn't matter. */
export const MemberReference = z.object({ '@odata.id': text(1024) }).transform((body) => {
  return parseGuid('The object id in @odata.id', REFERENCE.exec(body['@odata.id'])?.[1] ?? '');
});

/** Graph takes a thousand ids at a time; `types` only narrows what comes back. */
export const GetByIdsRequest = z.object({ ids: z.array(guid).max(1000) });

/** All groups are security groups, so it makes no difference. */
export const GetMemberGroupsRequest = z.object({ securityEnabledOnly: z.boolean().nullish() });
/** Graph's limit. */
const CHECKED = 20;
export const CheckMemberGroupsRequest = z
  .object({ groupIds: z.array(guid).max(CHECKED) })
  .transform(({ groupIds }) => groupIds);
export const CheckMemberObjectsRequest = z
  .object({ ids: z.array(guid).max(CHECKED) })
  .transform(({ ids }) => ids);

export function serializeUser(user: User) {
  return {
    id: user.id,
    accountEnabled: user.enabled,
    displayName: user.displayName,
    identities: user.identities.map(({ issuer, subject }) => ({
      issuer,
      issuerAssignedId: subject,
      signInType: 'federated',
    })),
    mailNickname: user.mailNickname ?? null,
    userPrincipalName: user.userPrincipalName,
  };
}

export function serializeGroup(group: Group) {
  return {
    id: group.id,
    description: group.description ?? null,
    displayName: group.displayName,
    groupTypes: [],
    mailEnabled: false,
    mailNickname: group.mailNickname ?? null,
    securityEnabled: true,
  };
}

export function serializeMember({ id, kind, displayName: name }: GroupMember) {
  return { '@odata.type': `#microsoft.graph.${kind}`, id, displayName: name };
}
