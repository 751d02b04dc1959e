import { type DirectoryFilter } from '../core/directory.ts';
import { ServiceError } from '../core/errors.ts';

const TEXT = "'((?:[^']|''){1,256})'";
/** The forms in which programs ask; `az` has all of them. */
const CLAUSES: readonly (readonly [RegExp, keyof DirectoryFilter])[] = [
  [new RegExp(`^appId eq ${TEXT}`, 'i'), 'appId'],
  [new RegExp(`^servicePrincipalNames/any\\(\\w+:\\w+ eq ${TEXT}\\)`, 'i'), 'appId'],
  [new RegExp(`^displayName eq ${TEXT}`, 'i'), 'displayName'],
  [new RegExp(`^startswith\\(displayName, ?${TEXT}\\)`, 'i'), 'displayNamePrefix'],
];
const AND = /^ and /i;

/**
 * Graph's $filter (OData 4.01 §5.1.1), as far as appId and displayName go: clauses with `and` between them.
 * @throws ServiceError BadParameter
 */
export function parseDirectoryFilter(text: string | undefined): DirectoryFilter {
  const filter: Partial<Record<keyof DirectoryFilter, string>> = {};
  let rest = (text ?? '').trim().replace(/\s+(?=(?:[^']*'[^']*')*[^']*$)/g, ' ');
  while (rest !== '') {
    const [match, name] = firstClause(rest);
    const value = (match[1] ?? '').replaceAll("''", "'");
    if (filter[name] !== undefined && filter[name] !== value) throw notUnderstood();
    filter[name] = value;
    rest = rest.slice(match[0].length);
    if (rest === '') break;
    if (!AND.test(rest)) throw notUnderstood();
    rest = rest.replace(AND, '');
  }
  return filter;
}

/** @throws ServiceError BadParameter for a filter by appId too */
export function parseNameFilter(text: string | undefined): Omit<DirectoryFilter, 'appId'> {
  const { appId, ...rest } = parseDirectoryFilter(text);
  if (appId !== undefined)
    throw new ServiceError('BadParameter', 'Only applications have an appId to filter by.');
  return rest;
}

function firstClause(text: string): readonly [RegExpExecArray, keyof DirectoryFilter] {
  for (const [pattern, name] of CLAUSES) {
    const match = pattern.exec(text);
    if (match !== null) return [match, name];
  }
  throw notUnderstood();
}

function notUnderstood(): ServiceError {
  return new ServiceError(
    'BadParameter',
    "The query parameter $filter must be appId eq '…', displayName eq '…' or startswith(displayName,'…'), with and between them.",
  );
}
