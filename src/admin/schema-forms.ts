/** A JSON schema, as OpenAPI 3.1 has them. */
export type Form = Readonly<Record<string, unknown>>;

/** What a field holds, in a sentence. */
type Part = readonly [form: Form, what: string];
/** Of a field that is left out where it is not known. */
type LoosePart = readonly [form: Form, what: string, presence: 'or absent'];

/** A word on each field of a type, so that none can be added, renamed or left out without one. */
export type Parts<T> = {
  readonly [K in keyof T]-?: undefined extends T[K] ? LoosePart : Part;
};

export const TEXT: Form = { type: 'string' };
export const TEXTS: Form = { type: 'array', items: TEXT };
export const FLAG: Form = { type: 'boolean' };
export const COUNT: Form = { type: 'integer', minimum: 0 };
/** Milliseconds, rates, shares: with fractions. */
export const AMOUNT: Form = { type: 'number', minimum: 0 };
export const NUMBER: Form = { type: 'number' };
/** ISO 8601 in UTC. */
export const TIME: Form = { type: 'string', format: 'date-time' };

export function objectOf<T>(parts: Parts<T>): Form {
  const all = Object.entries<Part | LoosePart>(parts);
  return {
    type: 'object',
    required: all.filter((part) => part[1][2] === undefined).map(([name]) => name),
    properties: Object.fromEntries(
      all.map(([name, [form, description]]) => [name, { ...form, description }]),
    ),
  };
}

/** An object of one form for each of some names. */
export function recordOf(names: readonly string[], form: Form): Form {
  return {
    type: 'object',
    required: names,
    properties: Object.fromEntries(names.map((name) => [name, form])),
  };
}

export function arrayOf(items: Form): Form {
  return { type: 'array', items };
}

export function oneOf(values: readonly string[]): Form {
  return { type: 'string', enum: values };
}

export function orNull({ type, ...rest }: Form): Form {
  const values = rest['enum'];
  const known = Array.isArray(values) ? { enum: [...(values as unknown[]), null] } : {};
  return { ...rest, ...known, type: [type, 'null'] };
}
