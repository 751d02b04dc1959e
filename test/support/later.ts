/**
 * Stands for what a hook makes later: whatever is read of it, or called, is asked of `current` then. A suite can so name
 * the thing where it is declared.
 */
export function later<Thing extends object>(current: () => Thing): Thing {
  const bound = (name: string | symbol): unknown => Reflect.get(current(), name);
  return new Proxy(() => undefined, {
    get: (_target, name) => bound(name),
    apply: (_target, _self, words: unknown[]) =>
      (current() as unknown as (...all: unknown[]) => unknown)(...words),
  }) as unknown as Thing;
}
