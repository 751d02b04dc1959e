import { ServiceError } from '../errors.ts';
import { isAllStorable, NOT_STORABLE } from '../storable-text.ts';

export type ResourceTags = Readonly<Record<string, string>>;

const LIMITS = { tags: 50, name: 512, value: 256 };

/** As Azure Resource Manager has them: more and longer ones than keys. @throws ServiceError BadParameter */
export function parseResourceTags(tags: ResourceTags): ResourceTags {
  const entries = Object.entries(tags);
  if (
    entries.length > LIMITS.tags ||
    entries.some(([name, value]) => name.length > LIMITS.name || value.length > LIMITS.value)
  )
    throw new ServiceError(
      'BadParameter',
      `A resource has at most ${LIMITS.tags} tags, with names of at most ${LIMITS.name} and values of at most ${LIMITS.value} characters.`,
    );
  if (!isAllStorable(tags)) throw new ServiceError('BadParameter', `A tag ${NOT_STORABLE}.`);
  return tags;
}
