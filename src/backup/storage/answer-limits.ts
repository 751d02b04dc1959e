import type { AnswerBounds } from '../../network/answer-bounds.ts';

/** A page of a list is asked for with at most a thousand names, of which each has at most a kibibyte. */
export const PAGE_ENTRIES = 1_000;
/** Storages may give pages with fewer, or with none. */
export const PAGES_LIMIT = 100;
/** Of a list with all its pages, or the removal of a folder. */
export const LISTING_LIMIT_MS = 10 * 60_000;

/** What is not read to its end by somebody who counts it: lists, refusals, and answers to what was written. */
export const ANSWER_BOUNDS: AnswerBounds = {
  bytes: 4 * 1024 ** 2,
  totalMs: 60_000,
  // Of a block of 8 MiB, at 28 KB/s.
  uploadMs: 300_000,
  isContent: (method, target) =>
    method === 'GET' && !/[?&](?:comp|restype|list-type)=/.test(target),
};
