import { z } from 'zod';
import { parseDuration, parseSize } from '../units.ts';

/**
 * The single values of the configuration. Each says in one phrase what it expects; what was found
 * and where is added by src/agent/config-problems.ts.
 */
export type Leaf<T> = z.ZodType<T>;

/** `parse` gives undefined for what it does not take. */
export function leaf<T>(
  expected: string,
  parse: (value: unknown) => T | undefined,
  params: Readonly<Record<string, unknown>> = {},
): Leaf<T> {
  return z.unknown().transform((value, context): T => {
    const parsed = parse(value);
    if (parsed !== undefined) return parsed;
    context.issues.push({ code: 'custom', message: expected, input: value, params });
    return z.NEVER;
  });
}

/** A map of options. Absent and empty mean the same: every option has its default. */
export function section<T extends z.ZodRawShape>(shape: T): z.ZodType<z.output<z.ZodObject<T>>> {
  return z.preprocess((value) => value ?? {}, z.strictObject(shape)) as z.ZodType<
    z.output<z.ZodObject<T>>
  >;
}

/** A list or a map of free names; empty text behind the colon means the same as leaving it out. */
export function orAbsent<T>(inner: z.ZodType<T>): z.ZodType<T> {
  return z.preprocess((value) => value ?? undefined, inner) as z.ZodType<T>;
}

export function text(expected: string, check?: (value: string) => boolean): Leaf<string> {
  const parse = (value: unknown): string | undefined => {
    if (typeof value !== 'string' || value === '') return undefined;
    return check === undefined || check(value) ? value : undefined;
  };
  return leaf(expected, parse, { wantsText: true });
}

/** `example`: as one writes it, shown to who wrote something else than a list. */
export function listOf<T>(item: z.ZodType<T>, example: string): z.ZodArray<z.ZodType<T>> {
  return z.array(item, { error: `a list, such as ${example}` });
}

export function flag(): Leaf<boolean> {
  return leaf('true or false', (value) => {
    if (value === 'true' || value === true) return true;
    return value === 'false' || value === false ? false : undefined;
  });
}

export function oneOf<const T extends string>(choices: readonly T[]): Leaf<T> {
  const [last, ...others] = [...choices].toReversed();
  const listed =
    others.length === 0 ? String(last) : `${others.toReversed().join(', ')} or ${String(last)}`;
  return leaf(listed, (value) => choices.find((choice) => choice === value));
}

export interface Range {
  readonly min: number;
  readonly max: number;
}

function within(value: number | undefined, range: Range): number | undefined {
  if (value === undefined) return undefined;
  return value >= range.min && value <= range.max ? value : undefined;
}

/** Digits in quotes are taken too: that is what `${env:…}` gives. */
export function integer(range: Range): Leaf<number> {
  return leaf(`a whole number from ${range.min} to ${range.max}`, (value) => {
    const number = typeof value === 'string' && /^\d+$/u.test(value) ? Number(value) : value;
    return typeof number === 'number' && Number.isInteger(number)
      ? within(number, range)
      : undefined;
  });
}

/** Bytes. `bounds` is the range in people's units, for the message. */
export function size(range: Range, bounds: string): Leaf<number> {
  return leaf(`a size ${bounds}`, (value) => {
    if (typeof value === 'number' && Number.isInteger(value)) return within(value, range);
    return typeof value === 'string' ? within(parseSize(value), range) : undefined;
  });
}

/** Milliseconds; the unit must be written. */
export function duration(range: Range, bounds: string): Leaf<number> {
  return leaf(`a duration ${bounds}`, (value) =>
    typeof value === 'string' ? within(parseDuration(value), range) : undefined,
  );
}

/** As `inner`, and the word `none` for "no bound". */
export function orNone<T>(inner: Leaf<T>, expected: string): Leaf<T | 'none'> {
  return leaf<T | 'none'>(expected, (value) => {
    if (value === 'none') return 'none';
    const parsed = inner.safeParse(value);
    return parsed.success ? parsed.data : undefined;
  });
}
