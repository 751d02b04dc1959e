import type {
  DirectoryCondition,
  DirectoryFilter,
  DirectoryProperty,
} from '../../core/directory/directory.ts';
import { ServiceError } from '../../core/errors.ts';
import { FilterTokens } from './filter-tokens.ts';

type Kind = 'text' | 'flag' | 'collection';
/** What entries of a kind can be asked for, by the name in lower case. */
type Filterable = Readonly<Record<string, readonly [DirectoryProperty, Kind]>>;

const ANY = { id: ['id', 'text'], displayname: ['displayName', 'text'] } as const;

export const APPLICATIONS: Filterable = {
  ...ANY,
  appid: ['appId', 'text'],
  identifieruris: ['identifierUris', 'collection'],
};
export const SERVICE_PRINCIPALS: Filterable = {
  ...ANY,
  appid: ['appId', 'text'],
  // Its appId is the one name that a service principal has.
  serviceprincipalnames: ['appId', 'collection'],
  accountenabled: ['accountEnabled', 'flag'],
};
export const USERS: Filterable = {
  ...ANY,
  userprincipalname: ['userPrincipalName', 'text'],
  mailnickname: ['mailNickname', 'text'],
  accountenabled: ['accountEnabled', 'flag'],
};
export const GROUPS: Filterable = {
  ...ANY,
  mailnickname: ['mailNickname', 'text'],
  mailenabled: ['mailEnabled', 'flag'],
  securityenabled: ['securityEnabled', 'flag'],
};

const VALUE_LIMIT = 256;

/**
 * Graph's $filter (OData 4.01 §5.1.1), as far as `and`, `eq`, `startswith` and `any` over one property go. Each token is
 * looked at once.
 * @throws ServiceError BadParameter
 */
export function parseDirectoryFilter(
  text: string | undefined,
  filterable: Filterable,
): DirectoryFilter {
  const tokens = new FilterTokens(text ?? '');
  if (tokens.isAtEnd()) return [];
  const conditions = readConjunction(tokens, filterable);
  if (conditions === undefined || !tokens.isAtEnd()) throw notUnderstood(filterable);
  return conditions;
}

function readConjunction(
  tokens: FilterTokens,
  filterable: Filterable,
): DirectoryCondition[] | undefined {
  const conditions: DirectoryCondition[] = [];
  do {
    const read = readTerm(tokens, filterable);
    if (read === undefined) return undefined;
    conditions.push(...read);
  } while (tokens.takeWord('and'));
  return conditions;
}

function readTerm(
  tokens: FilterTokens,
  filterable: Filterable,
): readonly DirectoryCondition[] | undefined {
  if (tokens.take('(')) {
    const conditions = readConjunction(tokens, filterable);
    return tokens.take(')') ? conditions : undefined;
  }
  const word = tokens.word()?.toLowerCase();
  const condition =
    word === 'startswith' && tokens.take('(')
      ? readBeginning(tokens, filterable)
      : readComparison(tokens, ownEntry(filterable, word));
  return condition && [condition];
}

/** The rest of `startswith(property,'text')`. */
function readBeginning(
  tokens: FilterTokens,
  filterable: Filterable,
): DirectoryCondition | undefined {
  const [property, kind] = ownEntry(filterable, tokens.word()?.toLowerCase()) ?? [];
  const value = tokens.take(',') ? readText(tokens) : undefined;
  if (property === undefined || kind !== 'text' || value === undefined || !tokens.take(')'))
    return undefined;
  return { property, operator: 'startsWith', value };
}

/** The rest of `property eq value`, or of `property/any(x:x eq value)`. */
function readComparison(
  tokens: FilterTokens,
  named: Filterable[string] | undefined,
): DirectoryCondition | undefined {
  if (named === undefined) return undefined;
  const [property, kind] = named;
  if (kind === 'collection') {
    if (!tokens.take('/') || !tokens.takeWord('any') || !tokens.take('(')) return undefined;
    const variable = tokens.word();
    if (variable === undefined || !tokens.take(':') || tokens.word() !== variable) return undefined;
  }
  const value = tokens.takeWord('eq')
    ? kind === 'flag'
      ? readFlag(tokens)
      : readText(tokens)
    : undefined;
  if (value === undefined || (kind === 'collection' && !tokens.take(')'))) return undefined;
  return { property, operator: 'eq', value };
}

function readText(tokens: FilterTokens): string | undefined {
  const value = tokens.text();
  return value === undefined || value === '' || value.length > VALUE_LIMIT ? undefined : value;
}

function readFlag(tokens: FilterTokens): boolean | undefined {
  if (tokens.takeWord('true')) return true;
  return tokens.takeWord('false') ? false : undefined;
}

function ownEntry(filterable: Filterable, name: string | undefined) {
  return name !== undefined && Object.hasOwn(filterable, name) ? filterable[name] : undefined;
}

function notUnderstood(filterable: Filterable): ServiceError {
  const names = Object.values(filterable).map(([property]) => property);
  return new ServiceError(
    'BadParameter',
    `The query parameter $filter must be made of displayName eq '…' or startswith(displayName,'…') and the like, with and between them; here by ${[...new Set(names)].join(', ')}.`,
  );
}
