import { ServiceError } from '../../core/errors.ts';

const COMPARISON = /^\s*(\w+)\s+eq\s+'((?:[^']|'')*)'\s*$/i;

/**
 * A filter of comparisons for equality, joined by `and`: all that clients of Azure Resource Manager write here.
 * @param names that may be compared
 * @returns values by names, as `names` spells them
 * @throws ServiceError BadParameter
 */
export function parseArmFilter<Name extends string>(
  filter: string | undefined,
  names: readonly Name[],
): Readonly<Partial<Record<Name, string>>> {
  const values: Partial<Record<Name, string>> = {};
  for (const part of filter?.split(/ and /i) ?? []) {
    const [, name = '', value = ''] = COMPARISON.exec(part) ?? [];
    const known = names.find((candidate) => candidate.toLowerCase() === name.toLowerCase());
    if (known === undefined)
      throw new ServiceError(
        'BadParameter',
        `The query parameter $filter compares ${names.join(' or ')} by eq with a text in single quotes.`,
      );
    values[known] = value.replaceAll("''", "'");
  }
  return values;
}
