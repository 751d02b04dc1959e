import { ServiceError } from '../../core/errors.ts';
import type { ApiVersion } from '../api-version.ts';

/** The first version of each provider that its clients could send. */
const FIRST = {
  'Microsoft.Resources': '2014-04-01',
  'Microsoft.Authorization': '2015-07-01',
  'Microsoft.KeyVault': '2020-04-01',
} as const;

export type ArmProvider = keyof typeof FIRST;

const DATED = /^(\d{4}-\d{2}-\d{2})(?:-preview)?$/;

/**
 * The version that a request to Azure Resource Manager names, as each must. Responses are the same for all of them, and for
 * later ones: the next release of a library must not fail for its version alone.
 * @throws ServiceError MissingApiVersion, UnsupportedApiVersion
 */
export function parseArmVersion(value: unknown, provider: ArmProvider): ApiVersion {
  if (value === undefined)
    throw new ServiceError(
      'MissingApiVersion',
      'The api-version query parameter (?api-version=) is required for all requests.',
    );
  const name = typeof value === 'string' ? value.toLowerCase() : '';
  const date = DATED.exec(name)?.[1];
  if (date === undefined || !isCalendarDate(date) || date < FIRST[provider])
    throw new ServiceError(
      'UnsupportedApiVersion',
      `The api-version is invalid for ${provider}: it is a date from ${FIRST[provider]} on, such as 2026-05-15.`,
    );
  return { name, has: () => false };
}

function isCalendarDate(date: string): boolean {
  const read = new Date(`${date}T00:00:00Z`);
  return !Number.isNaN(read.getTime()) && read.toISOString().startsWith(date);
}
