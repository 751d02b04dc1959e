import type { IncomingMessage } from 'node:http';

/** Ways in which clients spell UTF-8, and ASCII, which is a part of it. */
const UTF_8 = /;\s*charset\s*=\s*["']?(?:utf[-_ ]?8|(?:us-)?ascii)["']?\s*(?=;|$)/i;

/** body-parser knows one spelling: this is it from now on. */
export function spellCharset({ headers }: IncomingMessage): void {
  const type = headers['content-type'];
  if (type !== undefined) headers['content-type'] = type.replace(UTF_8, '; charset=utf-8');
}
