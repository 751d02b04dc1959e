import type { AuthoredChange } from '../access/authored-change.ts';
import {
  outlineCertificate,
  registerCertificates,
  type RequestedCertificate,
} from './certificates.ts';
import type { Application, FederatedCredential } from './directory.ts';
import type { CredentialStore } from './ports.ts';
import { ServiceError } from '../errors.ts';
import type { DirectoryStore } from './ports.ts';

/** What a change of an application names. */
export interface ApplicationEdit {
  readonly displayName?: string;
  readonly certificates?: readonly RequestedCertificate[];
}

export type CredentialService = ReturnType<typeof createCredentialService>;

const LIMIT = 20;

/** Credentials of applications that are no secrets: certificates, and other issuers' tokens. Who may is decided before. */
export function createCredentialService(parts: {
  readonly store: CredentialStore;
  readonly directory: Pick<DirectoryStore, 'findApplication'>;
  /** Whether keys may be asked of an issuer that a caller names. */
  readonly isAcceptedIssuer: (issuer: string) => boolean;
  readonly newGuid: () => string;
}) {
  const { store, directory, isAcceptedIssuer, newGuid } = parts;

  async function requireApplication(id: string): Promise<Application> {
    const found = await directory.findApplication({ id });
    if (found === undefined)
      throw new ServiceError(
        'DirectoryObjectNotFound',
        `There is no application with the id ${id}.`,
      );
    return found;
  }

  return {
    listCertificates: (applicationId: string) => store.listCertificates(applicationId),

    /** As the certificates of an application that is about to be made. @throws ServiceError BadParameter */
    newCertificates: (requested: readonly RequestedCertificate[]) =>
      registerCertificates(requested, [], newGuid),

    /**
     * What isn't named stays as it is; certificates that are named are all that there are from then on.
     * @throws ServiceError BadParameter, DirectoryObjectNotFound
     */
    async updateApplication(
      applicationId: string,
      { displayName, certificates }: ApplicationEdit,
      change: AuthoredChange,
    ): Promise<void> {
      const application = await requireApplication(applicationId);
      const present = certificates && (await store.listCertificates(applicationId));
      const next = certificates && registerCertificates(certificates, present ?? [], newGuid);
      if (displayName === undefined && next === undefined) return;
      const outline = (name: string, held: typeof present) => ({
        id: applicationId,
        ...(displayName !== undefined && { displayName: name }),
        ...(next !== undefined && { keyCredentials: (held ?? []).map(outlineCertificate) }),
      });
      change.note({
        change: {
          before: outline(application.displayName, present),
          after: outline(displayName ?? '', next),
        },
      });
      await store.updateApplication(
        applicationId,
        {
          ...(displayName !== undefined && { displayName }),
          ...(next !== undefined && { certificates: next }),
        },
        change,
      );
    },

    /** @throws ServiceError DirectoryObjectNotFound */
    async listFederated(applicationId: string): Promise<readonly FederatedCredential[]> {
      await requireApplication(applicationId);
      return store.listFederated(applicationId);
    },

    /** @throws ServiceError DirectoryObjectNotFound */
    async getFederated(applicationId: string, id: string): Promise<FederatedCredential> {
      const found = (await store.listFederated(applicationId)).find((one) => one.id === id);
      if (found === undefined) throw noFederated(id);
      return found;
    },

    /** @throws ServiceError BadParameter, DirectoryObjectNotFound, DirectoryObjectExists */
    async addFederated(
      applicationId: string,
      requested: Omit<FederatedCredential, 'id'>,
      change: AuthoredChange,
    ): Promise<FederatedCredential> {
      await requireApplication(applicationId);
      if (!isAcceptedIssuer(requested.issuer))
        throw new ServiceError(
          'BadParameter',
          'Property issuer has an invalid value: it must be an https URL at a public address, or be named in STRONGROOM_FEDERATED_ISSUERS.',
        );
      if ((await store.listFederated(applicationId)).length >= LIMIT) throw tooMany();
      const credential: FederatedCredential = { id: newGuid(), ...requested };
      change.note({ change: { after: { applicationId, ...credential } } });
      await store.insertFederated(applicationId, credential, change);
      return credential;
    },

    /** @throws ServiceError DirectoryObjectNotFound */
    async removeFederated(
      applicationId: string,
      id: string,
      change: AuthoredChange,
    ): Promise<void> {
      change.note({ change: { before: { applicationId, id } } });
      if (!(await store.deleteFederated(applicationId, id, change))) throw noFederated(id);
    },
  };
}

function tooMany(): ServiceError {
  return new ServiceError(
    'BadParameter',
    `An application can have at most ${LIMIT} federated identity credentials.`,
  );
}

function noFederated(id: string): ServiceError {
  return new ServiceError(
    'DirectoryObjectNotFound',
    `There is no federated identity credential with the id ${id}.`,
  );
}
