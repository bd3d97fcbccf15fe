import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';

/** An answer against what the OpenAPI description says of it, more strictly than it is said: a field that it does not name is wrong. */
export class StrictForms {
  readonly #ajv = new Ajv2020({ allErrors: true, strict: true, allowUnionTypes: true });

  constructor() {
    this.#ajv.addFormat('date-time', /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/u);
  }

  /** What is wrong with it. */
  faults(schema: object, value: unknown): string[] {
    const check: ValidateFunction = this.#ajv.compile(closed(schema) as object);
    if (check(value)) return [];
    return (check.errors ?? []).map(({ instancePath, message = '', params }) => {
      return `${instancePath}: ${message} ${JSON.stringify(params)}`;
    });
  }
}

/** No object may have more than it names. */
function closed(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(closed);
  if (typeof schema !== 'object' || schema === null) return schema;
  const inner = Object.fromEntries(
    Object.entries(schema).map(([key, value]) => [key, closed(value)]),
  );
  return 'properties' in schema ? { ...inner, additionalProperties: false } : inner;
}
