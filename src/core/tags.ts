import { ServiceError } from './errors.ts';

export type Tags = Readonly<Record<string, string>>;

const TAGS_LIMIT = 15;
const TAG_LENGTH_LIMIT = 256;
/** What JSON can say and Postgres' jsonb can't hold. */
const UNSTORABLE = /\0|\p{Cs}/u;

/** At most 15, with names and values of at most 256 characters. @throws ServiceError BadParameter */
export function parseTags(tags: Tags): Tags {
  const entries = Object.entries(tags);
  if (entries.length > TAGS_LIMIT)
    throw new ServiceError('BadParameter', `A key can have at most ${TAGS_LIMIT} tags.`);
  if (entries.some(([tag, value]) => Math.max(tag.length, value.length) > TAG_LENGTH_LIMIT))
    throw new ServiceError(
      'BadParameter',
      `The name and the value of a tag can have at most ${TAG_LENGTH_LIMIT} characters.`,
    );
  if (entries.some(([tag, value]) => UNSTORABLE.test(`${tag}${value}`)))
    throw new ServiceError('BadParameter', 'Tags cannot hold U+0000 or unpaired surrogates.');
  return tags;
}
