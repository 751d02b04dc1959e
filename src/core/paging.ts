/** A page of a list: `next` is the cursor of the page after it, absent on the last one. */
export interface Page<T> {
  readonly items: readonly T[];
  readonly next?: string;
}

/** `after`: the cursor that the page before gave. `limit`: at most so many items. */
export interface PageRequest {
  readonly after?: string;
  readonly limit: number;
}
