import { ServiceError } from '../errors.ts';
import { isAllStorable, NOT_STORABLE } from '../storable-text.ts';

export type Tags = Readonly<Record<string, string>>;

const TAGS_LIMIT = 15;
const TAG_LENGTH_LIMIT = 256;

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
  if (!isAllStorable(tags)) throw new ServiceError('BadParameter', `A tag ${NOT_STORABLE}.`);
  return tags;
}
