import { ServiceError } from '../errors.ts';
import type { DirectoryStore, UsersAndGroupsStore } from '../directory/ports.ts';
import { isGuid } from '../guid.ts';

/** @throws ServiceError BadParameter where a role that is given to this id would be nobody's */
export type RequireAssignee = (principalId: string) => Promise<void>;

/**
 * Callers are service principals, and an application's own ids are so easily taken for theirs: az prints the appId. An
 * assignment of these would give nobody anything, and say nothing of it. The same goes for the name of a user. Ids that the directory doesn't know may be those
 * of other issuers' principals.
 */
export function createAssigneeCheck(
  directory: Pick<DirectoryStore, 'findApplication' | 'findServicePrincipal'> &
    Pick<UsersAndGroupsStore, 'findUserIdByName'>,
): RequireAssignee {
  return async (principalId) => {
    const userId = await directory.findUserIdByName(principalId);
    if (userId !== undefined)
      throw new ServiceError(
        'BadParameter',
        `Property principalId is the userPrincipalName of a user. Roles are given to the user's id: use ${userId}.`,
      );
    const guid = guidOf(principalId);
    if (guid === undefined) return;
    const application =
      (await directory.findApplication({ appId: guid })) ??
      (await directory.findApplication({ id: guid }));
    if (application === undefined) {
      if (
        guid !== principalId &&
        (await directory.findServicePrincipal({ id: guid })) !== undefined
      )
        throw new ServiceError(
          'BadParameter',
          `Property principalId spells the id of a service principal in another way than ${guid}.`,
        );
      return;
    }
    const { appId } = application;
    const principal = await directory.findServicePrincipal({ appId });
    throw new ServiceError(
      'BadParameter',
      `Property principalId names an application. Roles are given to its service principal: ${
        principal === undefined
          ? `it has none yet, and gets one by POST /v1.0/servicePrincipals with the appId ${appId}.`
          : `use its id, ${principal.id}.`
      }`,
    );
  };
}

const OTHER_GUID =
  /^(?:urn:uuid:)?([0-9a-f]{8})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{4})-?([0-9a-f]{12})$/;

/** The GUID in any spelling that Python's uuid, and so az, takes for one, as far as the rules of principal ids let it in. */
function guidOf(principalId: string): string | undefined {
  return isGuid(principalId) ? principalId : OTHER_GUID.exec(principalId)?.slice(1).join('-');
}
