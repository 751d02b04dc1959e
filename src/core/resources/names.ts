import { ServiceError } from '../errors.ts';

const GROUP_NAME = /^[\p{L}\p{N}_().-]{0,89}[\p{L}\p{N}_()-]$/u;
const HSM_NAME = /^[a-z](?:-?[a-z0-9])+$/i;
const HSM_NAME_LENGTHS = { least: 3, most: 24 };
const LOCATION = /^[a-z0-9]{1,64}$/;

/** As it is written; two that differ in case alone are one. @throws ServiceError BadParameter */
export function parseGroupName(text: string): string {
  if (GROUP_NAME.test(text)) return text;
  throw new ServiceError(
    'BadParameter',
    'The name of a resource group has 1 to 90 letters, digits, and _ ( ) - . and does not end with a full stop.',
  );
}

/** It is the first label of the pool's host. */
export function isManagedHsmName(text: string): boolean {
  const { least, most } = HSM_NAME_LENGTHS;
  return text.length >= least && text.length <= most && HSM_NAME.test(text);
}

export const MANAGED_HSM_NAME_RULE =
  'The name of a Managed HSM has 3 to 24 letters, digits and single hyphens, begins with a letter and ends with a letter or a digit.';

/** As it is written; two that differ in case alone are one. @throws ServiceError BadParameter */
export function parseManagedHsmName(text: string): string {
  if (isManagedHsmName(text)) return text;
  throw new ServiceError('BadParameter', MANAGED_HSM_NAME_RULE);
}

/** Clients write "West US 2" and "westus2" for the same place. @throws ServiceError BadParameter */
export function parseLocation(text: string): string {
  const location = text.replace(/ /g, '').toLowerCase();
  if (LOCATION.test(location)) return location;
  throw new ServiceError('BadParameter', 'A location has letters and digits.');
}
