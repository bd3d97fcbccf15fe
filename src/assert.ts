/**
 * Assertions state what the code is sure of. A failed one is a programmer's error: it is never
 * caught to go on, and its message names the invariant rather than the symptom.
 */
export class AssertionError extends Error {
  override readonly name = 'AssertionError';
}

export function assert(condition: boolean, invariant: string): asserts condition {
  if (!condition) throw new AssertionError(invariant);
}

/** The value, which must be there. For indexed access whose bound was checked just before. */
export function must<T>(value: T | undefined | null, invariant: string): T {
  if (value === undefined || value === null) throw new AssertionError(invariant);
  return value;
}

/** Marks the branch that a total switch cannot reach. */
export function unreachable(value: never): never {
  throw new AssertionError(`unreachable: ${String(value)}`);
}
