import { z } from 'zod';
import {
  type Application,
  type CertificateCredential,
  type PasswordCredential,
  type ServicePrincipal,
} from '../core/directory.ts';
import { presentCertificate } from './credentials.schema.ts';
import { displayName } from './display-name.ts';
import { text } from './text.ts';

export const CreateApplicationRequest = z.object({
  displayName: displayName.min(1),
  // Better refused than passed over: a client that sends one takes it for registered.
  keyCredentials: z.array(z.unknown()).max(0, 'are added by PATCH once it is there').nullish(),
});
export const CreateServicePrincipalRequest = z.object({ appId: text(64) });
export const RemovePasswordRequest = z.object({ keyId: text(64) });
const date = z.iso.datetime({ offset: true }).nullish();
export const AddPasswordRequest = z.object({
  passwordCredential: z
    .object({ displayName: displayName.nullish(), startDateTime: date, endDateTime: date })
    .nullish()
    .transform((requested) => ({
      ...(requested?.displayName && { displayName: requested.displayName }),
      ...(requested?.startDateTime && { startsAt: new Date(requested.startDateTime) }),
      ...(requested?.endDateTime && { endsAt: new Date(requested.endDateTime) }),
    })),
});

export function presentApplication(
  application: Application,
  passwords: readonly PasswordCredential[],
  certificates: readonly CertificateCredential[] = [],
) {
  return {
    id: application.id,
    appId: application.appId,
    createdDateTime: application.createdAt.toISOString(),
    displayName: application.displayName,
    keyCredentials: certificates.map(presentCertificate),
    passwordCredentials: passwords.map(presentPassword),
  };
}

/** Never the secret: that is given once, by addPassword. */
export function presentPassword(password: PasswordCredential) {
  return {
    displayName: password.displayName ?? null,
    endDateTime: password.endsAt.toISOString(),
    hint: password.hint,
    keyId: password.keyId,
    startDateTime: password.startsAt.toISOString(),
  };
}

export function presentServicePrincipal(principal: ServicePrincipal) {
  return {
    id: principal.id,
    accountEnabled: principal.enabled,
    appId: principal.appId,
    displayName: principal.displayName,
    servicePrincipalNames: [principal.appId],
    servicePrincipalType: 'Application',
  };
}
