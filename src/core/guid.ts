import { ServiceError } from './errors.ts';

const GUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** In either case, without braces. */
export function isGuid(text: string): boolean {
  return GUID.test(text);
}

/** In lower case. @throws ServiceError BadParameter, "{what} must be a GUID" */
export function parseGuid(what: string, text: string): string {
  if (!isGuid(text)) throw new ServiceError('BadParameter', `${what} must be a GUID`);
  return text.toLowerCase();
}
