import { z } from 'zod';
import type {
  Application,
  CertificateCredential,
  PasswordCredential,
  ServicePrincipal,
} from '../../core/directory/directory.ts';
import { withoutUndefined } from '../../core/without-undefined.ts';
import { keyCredentials, serializeCertificate } from './credentials.schema.ts';
import { dateTime } from '../values/date-time.ts';
import { displayName } from './display-name.ts';
import { graphBody } from './graph-body.ts';
import { APPLICATION, SERVICE_PRINCIPAL } from './graph-model.ts';
import { optional } from '../values/optional.ts';
import { text } from '../values/text.ts';

/** Secrets are made here, and given once by addPassword: as in Graph, none can be brought along. */
const noPasswords = z.array(z.unknown()).max(0, 'are made by addPassword').nullish();

export const CreateApplicationRequest = graphBody(
  {
    displayName: displayName.min(1),
    keyCredentials: keyCredentials.nullish().transform((value) => value ?? []),
    passwordCredentials: noPasswords,
  },
  APPLICATION,
);
export const UpdateApplicationRequest = graphBody(
  {
    displayName: displayName.min(1).optional(),
    keyCredentials: keyCredentials.optional(),
    passwordCredentials: z
      .custom<never>(() => false, { error: 'are changed by addPassword and removePassword' })
      .optional(),
  },
  APPLICATION,
).transform(({ displayName: name, keyCredentials: certificates }) =>
  withoutUndefined({ displayName: name, certificates }),
);

export const CreateServicePrincipalRequest = graphBody(
  {
    appId: text(64),
    accountEnabled: optional(z.boolean()),
    // It is its application's; az and Graph's libraries send it along.
    displayName: displayName.nullish(),
  },
  SERVICE_PRINCIPAL,
);
export const UpdateServicePrincipalRequest = graphBody(
  { displayName: displayName.min(1).optional(), accountEnabled: z.boolean().optional() },
  SERVICE_PRINCIPAL,
).transform(({ displayName: name, accountEnabled }) =>
  withoutUndefined({ displayName: name, enabled: accountEnabled }),
);
export const RemovePasswordRequest = z.object({ keyId: text(64) });
const date = dateTime.nullish();
export const AddPasswordRequest = z.object({
  passwordCredential: z
    .object({ displayName: displayName.nullish(), startDateTime: date, endDateTime: date })
    .nullish()
    .transform((requested) => ({
      ...(requested?.displayName && { displayName: requested.displayName }),
      ...(requested?.startDateTime && { startsAt: requested.startDateTime }),
      ...(requested?.endDateTime && { endsAt: requested.endDateTime }),
    })),
});

export function serializeApplication(
  application: Application,
  passwords: readonly PasswordCredential[],
  certificates: readonly CertificateCredential[] = [],
) {
  return {
    id: application.id,
    appId: application.appId,
    createdDateTime: application.createdAt.toISOString(),
    displayName: application.displayName,
    // It has none, and az looks into the list.
    identifierUris: [],
    keyCredentials: certificates.map(serializeCertificate),
    passwordCredentials: passwords.map(serializePassword),
  };
}

/** Never the secret: that is given once, by addPassword. */
export function serializePassword(password: PasswordCredential) {
  return {
    displayName: password.displayName ?? null,
    endDateTime: password.endsAt.toISOString(),
    hint: password.hint,
    keyId: password.keyId,
    startDateTime: password.startsAt.toISOString(),
  };
}

export function serializeServicePrincipal(principal: ServicePrincipal) {
  return {
    id: principal.id,
    accountEnabled: principal.enabled,
    appId: principal.appId,
    displayName: principal.displayName,
    servicePrincipalNames: [principal.appId],
    servicePrincipalType: 'Application',
  };
}
