import type { AuditedChange, AuditRecord } from '../../../src/core/audit/record.ts';
import type {
  Application,
  DirectoryFilter,
  DirectoryPrincipal,
  PasswordCredential,
  ServicePrincipal,
} from '../../../src/core/directory/directory.ts';
import { ServiceError } from '../../../src/core/errors.ts';
import type { DirectoryStore } from '../../../src/core/directory/ports.ts';
import type { Page, PageRequest } from '../../../src/core/paging.ts';
import type { StateChange } from '../../../src/core/caching/change-feed.ts';

/** A directory in memory: it keeps the records of its changes, and publishes them. */
export class FakeDirectoryStore implements DirectoryStore {
  readonly #publish: (change: StateChange) => void;
  readonly #applications = new Map<string, Application>();
  readonly #passwords = new Map<string, PasswordCredential[]>();
  readonly #principals = new Map<string, ServicePrincipal>();
  readonly records: AuditRecord[] = [];
  /** When set, every read fails with it. */
  failure: ServiceError | undefined;
  /** How many principals were looked up. */
  principalReads = 0;
  /** Of every principal. */
  groups: readonly string[] = [];

  constructor(publish: (change: StateChange) => void) {
    this.#publish = publish;
  }

  insertApplication(application: Application, change: AuditedChange): Promise<void> {
    this.#applications.set(application.id, application);
    return this.#commit(application.id, change);
  }

  findApplication(by: { id: string } | { appId: string }): Promise<Application | undefined> {
    return this.#read(() => find(this.#applications, by));
  }

  listApplications(filter: DirectoryFilter, page: PageRequest): Promise<Page<Application>> {
    return this.#read(() => list(this.#applications, filter, page));
  }

  async deleteApplication(id: string, change: AuditedChange): Promise<boolean> {
    const application = this.#applications.get(id);
    if (application === undefined) return false;
    this.#applications.delete(id);
    this.#passwords.delete(id);
    const principal = find(this.#principals, { appId: application.appId });
    if (principal !== undefined) {
      this.#principals.delete(principal.id);
      this.#publish({ topic: 'directory', id: principal.id });
    }
    await this.#commit(id, change);
    return true;
  }

  insertPassword(
    applicationId: string,
    password: PasswordCredential,
    change: AuditedChange,
  ): Promise<void> {
    const passwords = this.#passwords.get(applicationId) ?? [];
    this.#passwords.set(applicationId, [...passwords, password]);
    return this.#commit(applicationId, change);
  }

  async deletePassword(
    applicationId: string,
    keyId: string,
    change: AuditedChange,
  ): Promise<boolean> {
    const passwords = this.#passwords.get(applicationId) ?? [];
    const left = passwords.filter((password) => password.keyId !== keyId);
    if (left.length === passwords.length) return false;
    this.#passwords.set(applicationId, left);
    await this.#commit(applicationId, change);
    return true;
  }

  listPasswords(applicationId: string): Promise<readonly PasswordCredential[]> {
    return this.#read(() => this.#passwords.get(applicationId) ?? []);
  }

  insertServicePrincipal(principal: ServicePrincipal, change: AuditedChange): Promise<void> {
    if (find(this.#principals, { appId: principal.appId }) !== undefined)
      return Promise.reject(
        new ServiceError('DirectoryObjectExists', 'The application has a service principal.'),
      );
    this.#principals.set(principal.id, principal);
    return this.#commit(principal.id, change);
  }

  findServicePrincipal(
    by: { id: string } | { appId: string },
  ): Promise<ServicePrincipal | undefined> {
    this.principalReads += 1;
    return this.#read(() => find(this.#principals, by));
  }

  async findPrincipal(
    by: { id: string } | { issuer: string; subject: string },
  ): Promise<DirectoryPrincipal | undefined> {
    const found = 'id' in by ? await this.findServicePrincipal(by) : undefined;
    return found && { ...found, groups: this.groups };
  }

  findOwnIds(ids: readonly string[]): Promise<readonly string[]> {
    return this.#read(() => ids.filter((id) => this.#principals.has(id)));
  }

  listServicePrincipals(
    filter: DirectoryFilter,
    page: PageRequest,
  ): Promise<Page<ServicePrincipal>> {
    return this.#read(() => list(this.#principals, filter, page));
  }

  async deleteServicePrincipal(id: string, change: AuditedChange): Promise<boolean> {
    if (!this.#principals.delete(id)) return false;
    await this.#commit(id, change);
    return true;
  }

  /** What an administrator does in another process: it is in the store, and published only if the test does it. */
  setEnabled(id: string, enabled: boolean): void {
    const principal = this.#principals.get(id);
    if (principal !== undefined) this.#principals.set(id, { ...principal, enabled });
  }

  async #read<T>(read: () => T): Promise<T> {
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    return read();
  }

  async #commit(id: string, change: AuditedChange): Promise<void> {
    await Promise.resolve();
    this.records.push(change.toRecord());
    change.committed();
    this.#publish({ topic: 'directory', id });
  }
}

interface Entry {
  readonly id: string;
  readonly appId: string;
  readonly displayName: string;
}

function find<T extends Entry>(
  entries: ReadonlyMap<string, T>,
  by: { id: string } | { appId: string },
): T | undefined {
  return 'id' in by
    ? entries.get(by.id)
    : [...entries.values()].find(({ appId }) => appId === by.appId);
}

function list<T extends Entry>(
  entries: ReadonlyMap<string, T>,
  filter: DirectoryFilter,
  { after, limit }: PageRequest,
): Page<T> {
  const found = [...entries.values()]
    .filter((entry) =>
      filter.every(({ property, value }) =>
        property === 'appId' || property === 'displayName' ? entry[property] === value : false,
      ),
    )
    .filter((entry) => after === undefined || entry.id > after)
    .sort((one, other) => (one.id < other.id ? -1 : 1));
  const items = found.slice(0, limit);
  const last = items.at(-1);
  return { items, ...(found.length > limit && last !== undefined && { next: last.id }) };
}
