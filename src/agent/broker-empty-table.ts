/** What inherits from it takes a quarter of the memory of what inherits nothing, and knows no more names. */
const NOTHING: object = Object.freeze(Object.create(null) as object);

/** For names that others choose: `__proto__` is one of them. */
export function emptyTable<T>(): Record<string, T> {
  return Object.create(NOTHING) as Record<string, T>;
}
