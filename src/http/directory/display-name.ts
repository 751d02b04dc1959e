import { text } from '../values/text.ts';

/** Shown to people and written to logs: no control characters. */
export const displayName = text(256).regex(/^\P{Cc}*$/u, {
  message: 'must not hold control characters',
});
