import type { AuthoredChange } from '../access/authored-change.ts';
import { outlineCertificate } from './certificates.ts';
import {
  type Application,
  type CertificateCredential,
  hintOf,
  type PasswordCredential,
  type ServicePrincipal,
  type DirectoryFilter,
} from './directory.ts';
import { ServiceError } from '../errors.ts';
import type { Clock } from '../clock.ts';
import type { DirectoryStore, SecretHasher } from './ports.ts';
import type { Page, PageRequest } from '../paging.ts';

export interface RequestedPassword {
  readonly displayName?: string;
  readonly startsAt?: Date;
  readonly endsAt?: Date;
}

export interface DirectoryServiceParts {
  readonly store: DirectoryStore;
  readonly hasher: SecretHasher;
  readonly newGuid: () => string;
  /** A new client secret; nobody has seen it before. */
  readonly newSecret: () => string;
  readonly clock: Clock;
}

export type DirectoryService = ReturnType<typeof createDirectoryService>;

const PASSWORDS_LIMIT = 20;
/** Graph's own default. */
const PASSWORD_YEARS = 2;
/** RFC 3339 has four digits for a year. */
const LAST_DATE = new Date('9999-12-31T23:59:59.999Z');

/** The built-in directory: applications, their secrets and service principals. Who may is decided before. */
export function createDirectoryService(parts: DirectoryServiceParts) {
  const { store, hasher, newGuid, newSecret, clock } = parts;

  async function getApplication(id: string): Promise<Application> {
    const found = await store.findApplication({ id });
    if (found === undefined) throw notFound('application', id);
    return found;
  }

  return {
    getApplication,

    /** @param certificates that it can sign in with from the start */
    async createApplication(
      displayName: string,
      change: AuthoredChange,
      certificates: readonly CertificateCredential[] = [],
    ): Promise<Application> {
      const application: Application = {
        id: newGuid(),
        appId: newGuid(),
        displayName,
        createdAt: clock.now(),
      };
      const keyCredentials = certificates.map(outlineCertificate);
      change.note({
        change: { after: { ...application, ...(certificates.length > 0 && { keyCredentials }) } },
      });
      await store.insertApplication(application, change, certificates);
      return application;
    },

    listApplications(filter: DirectoryFilter, page: PageRequest): Promise<Page<Application>> {
      return store.listApplications(filter, page);
    },

    /** With its secrets and its service principal. @throws ServiceError DirectoryObjectNotFound, LastAdministrator */
    async deleteApplication(id: string, change: AuthoredChange): Promise<void> {
      const before = await getApplication(id);
      change.note({ change: { before } });
      if (!(await store.deleteApplication(id, change))) throw notFound('application', id);
    },

    async listPasswords(applicationId: string): Promise<readonly PasswordCredential[]> {
      return store.listPasswords(applicationId);
    },

    /** The secret is given here and never again: only its hash is kept. @throws ServiceError DirectoryObjectNotFound, BadParameter */
    async addPassword(
      applicationId: string,
      requested: RequestedPassword,
      change: AuthoredChange,
    ): Promise<{ password: PasswordCredential; secret: string }> {
      const application = await getApplication(applicationId);
      if ((await store.listPasswords(applicationId)).length >= PASSWORDS_LIMIT)
        throw new ServiceError(
          'BadParameter',
          `An application can have at most ${PASSWORDS_LIMIT} passwords.`,
        );
      const startsAt = requested.startsAt ?? clock.now();
      const endsAt = requested.endsAt ?? yearsAfter(startsAt, PASSWORD_YEARS);
      if (endsAt > LAST_DATE)
        throw new ServiceError(
          'BadParameter',
          'Property endDateTime must be before the year 10000.',
        );
      if (endsAt <= startsAt)
        throw new ServiceError('BadParameter', 'Property endDateTime must be after startDateTime.');
      const secret = newSecret();
      const password: PasswordCredential = {
        keyId: newGuid(),
        ...(requested.displayName !== undefined && { displayName: requested.displayName }),
        hint: hintOf(secret),
        hash: await hasher.hash(secret),
        startsAt,
        endsAt,
      };
      const { keyId, displayName } = password;
      change.note({
        change: { after: { applicationId: application.id, keyId, displayName, startsAt, endsAt } },
      });
      await store.insertPassword(applicationId, password, change);
      return { password, secret };
    },

    /** @throws ServiceError DirectoryObjectNotFound */
    async removePassword(
      applicationId: string,
      keyId: string,
      change: AuthoredChange,
    ): Promise<void> {
      change.note({ change: { before: { applicationId, keyId } } });
      if (!(await store.deletePassword(applicationId, keyId, change)))
        throw notFound('password', keyId);
    },

    /** @throws ServiceError DirectoryObjectNotFound, DirectoryObjectExists */
    async createServicePrincipal(
      appId: string,
      change: AuthoredChange,
      enabled = true,
    ): Promise<ServicePrincipal> {
      const application = await store.findApplication({ appId });
      if (application === undefined) throw notFound('application', appId);
      const principal: ServicePrincipal = {
        id: newGuid(),
        appId,
        displayName: application.displayName,
        enabled,
      };
      change.note({ change: { after: principal } });
      await store.insertServicePrincipal(principal, change);
      return principal;
    },

    /** @throws ServiceError DirectoryObjectNotFound */
    async getServicePrincipal(id: string): Promise<ServicePrincipal> {
      const found = await store.findServicePrincipal({ id });
      if (found === undefined) throw notFound('service principal', id);
      return found;
    },

    listServicePrincipals(
      filter: DirectoryFilter,
      page: PageRequest,
    ): Promise<Page<ServicePrincipal>> {
      return store.listServicePrincipals(filter, page);
    },

    /** With its role assignments. @throws ServiceError DirectoryObjectNotFound, LastAdministrator */
    async deleteServicePrincipal(id: string, change: AuthoredChange): Promise<void> {
      const before = await store.findServicePrincipal({ id });
      if (before === undefined) throw notFound('service principal', id);
      change.note({ change: { before } });
      if (!(await store.deleteServicePrincipal(id, change)))
        throw notFound('service principal', id);
    },
  };
}

function notFound(what: string, id: string): ServiceError {
  return new ServiceError('DirectoryObjectNotFound', `There is no ${what} with the id ${id}.`);
}

function yearsAfter(date: Date, years: number): Date {
  const later = new Date(date);
  later.setUTCFullYear(later.getUTCFullYear() + years);
  return later;
}
