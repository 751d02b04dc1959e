import { createHash, X509Certificate } from 'node:crypto';
import { type AuthoredChange } from './authored-change.ts';
import { type CertificateCredential, type FederatedCredential } from './directory.ts';
import { type CredentialStore } from './directory-ports.ts';
import { ServiceError } from './errors.ts';
import { type DirectoryStore } from './ports.ts';

/** A certificate to be registered, or the id of one that stays. */
export interface RequestedCertificate {
  readonly keyId?: string;
  readonly displayName?: string;
  /** X.509, in DER or PEM. */
  readonly certificate?: Uint8Array;
  readonly endsAt?: Date;
}

export type CredentialService = ReturnType<typeof createCredentialService>;

const LIMIT = 20;
const LEAST_RSA_BITS = 2048;

/** Credentials of applications that are no secrets: certificates, and other issuers' tokens. Who may is decided before. */
export function createCredentialService(parts: {
  readonly store: CredentialStore;
  readonly directory: Pick<DirectoryStore, 'findApplication'>;
  readonly newGuid: () => string;
}) {
  const { store, directory, newGuid } = parts;

  async function requireApplication(id: string): Promise<void> {
    if ((await directory.findApplication({ id })) === undefined)
      throw new ServiceError(
        'DirectoryObjectNotFound',
        `There is no application with the id ${id}.`,
      );
  }

  function register(
    { displayName, certificate, endsAt }: RequestedCertificate,
    keyId: string,
  ): CertificateCredential {
    const read = readCertificate(certificate ?? new Uint8Array());
    const validTo = new Date(read.validTo);
    return {
      keyId,
      ...(displayName !== undefined && { displayName }),
      certificate: read.raw,
      thumbprint: createHash('sha256').update(read.raw).digest(),
      startsAt: new Date(read.validFrom),
      endsAt: endsAt !== undefined && endsAt < validTo ? endsAt : validTo,
    };
  }

  return {
    listCertificates: (applicationId: string) => store.listCertificates(applicationId),

    /**
     * The application's certificates are these from now on; one that is named by its key id alone stays as it is.
     * @throws ServiceError BadParameter, DirectoryObjectNotFound, DirectoryObjectExists
     */
    async replaceCertificates(
      applicationId: string,
      requested: readonly RequestedCertificate[],
      change: AuthoredChange,
    ): Promise<void> {
      await requireApplication(applicationId);
      if (requested.length > LIMIT) throw tooMany('certificates');
      const before = await store.listCertificates(applicationId);
      const after = requested.map((one) => {
        if (one.certificate !== undefined) return register(one, one.keyId ?? newGuid());
        const kept = before.find(({ keyId }) => keyId === one.keyId);
        if (kept === undefined)
          throw new ServiceError('BadParameter', 'Property keyCredentials.key is missing.');
        return kept;
      });
      change.note({ change: { before: before.map(outline), after: after.map(outline) } });
      await store.replaceCertificates(applicationId, after, change);
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
      if ((await store.listFederated(applicationId)).length >= LIMIT)
        throw tooMany('federated identity credentials');
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

function outline({ keyId, displayName, thumbprint, startsAt, endsAt }: CertificateCredential) {
  const sha256 = Buffer.from(thumbprint).toString('hex');
  return { keyId, displayName, thumbprint: sha256, startsAt, endsAt };
}

function readCertificate(bytes: Uint8Array): X509Certificate {
  let read: X509Certificate;
  try {
    read = new X509Certificate(bytes);
  } catch (cause) {
    throw new ServiceError('BadParameter', 'Property key holds no X.509 certificate.', { cause });
  }
  const { asymmetricKeyType, asymmetricKeyDetails } = read.publicKey;
  const isStrong =
    asymmetricKeyType === 'ec' ||
    (asymmetricKeyType === 'rsa' && (asymmetricKeyDetails?.modulusLength ?? 0) >= LEAST_RSA_BITS);
  if (!isStrong)
    throw new ServiceError(
      'BadParameter',
      `The certificate must hold an RSA key of at least ${LEAST_RSA_BITS} bits, or an EC key.`,
    );
  return read;
}

function tooMany(what: string): ServiceError {
  return new ServiceError('BadParameter', `An application can have at most ${LIMIT} ${what}.`);
}

function noFederated(id: string): ServiceError {
  return new ServiceError(
    'DirectoryObjectNotFound',
    `There is no federated identity credential with the id ${id}.`,
  );
}
