import { randomUUID } from 'node:crypto';
import type { Clock } from '../core/clock.ts';
import { createCredentialService } from '../core/directory/credential-service.ts';
import { createDirectoryService } from '../core/directory/directory-service.ts';
import { createUsersAndGroups } from '../core/directory/users-and-groups.ts';
import { createSecretHasher, newClientSecret } from '../identity/clients/client-secret.ts';
import { createFederatedIssuers } from '../identity/issuers/federated-issuers.ts';
import type { StoreContext } from '../store/database.ts';
import { createCredentialStore } from '../store/directory/credential-store.ts';
import { createDirectoryStore } from '../store/directory/directory-store.ts';
import { createUsersAndGroupsStore } from '../store/directory/users-and-groups-store.ts';
import type { Base } from './service/base.ts';

/** Applications, their credentials and principals, users and groups. */
export function composeDirectory({ settings, clock, context }: Base) {
  const { federatedIssuers: named = [], issuers = [] } = settings;
  const federatedIssuers = createFederatedIssuers(named, issuers);
  const hasher = createSecretHasher();
  const store = createDirectoryStore(context);
  const credentialStore = createCredentialStore(context);
  return {
    federatedIssuers,
    hasher,
    store,
    credentialStore,
    app: {
      directory: openDirectory(context, clock, hasher),
      credentials: createCredentialService({
        store: credentialStore,
        directory: store,
        isAcceptedIssuer: (issuer) => federatedIssuers.isAccepted(issuer),
        newGuid: randomUUID,
      }),
      usersAndGroups: createUsersAndGroups({
        store: createUsersAndGroupsStore(context),
        newGuid: randomUUID,
      }),
    },
  };
}

export type Directory = ReturnType<typeof composeDirectory>;

export function openDirectory(context: StoreContext, clock: Clock, hasher = createSecretHasher()) {
  return createDirectoryService({
    store: createDirectoryStore(context),
    hasher,
    newGuid: randomUUID,
    newSecret: newClientSecret,
    clock,
  });
}
