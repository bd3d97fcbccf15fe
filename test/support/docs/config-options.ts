import { z } from 'zod';

/** An option of the configuration as its schema has it. */
export interface ConfigOption {
  /** Dotted; `*` is a free name, `[]` an item of a list. */
  readonly key: string;
  /** In words; undefined: a map of options. */
  readonly takes: string | undefined;
  /** As the schema has it, in its own units; undefined: there is none. */
  readonly usual: { readonly value: unknown } | undefined;
  /** Reads a text as the option would. */
  readonly read: (value: unknown) => unknown;
}

type Node = z.ZodObject | z.ZodRecord | z.ZodArray;

/** All options below a schema, in its order. */
export function optionsOf(schema: z.ZodType, above = ''): ConfigOption[] {
  return nodesIn(schema).flatMap((node) => {
    if (node instanceof z.ZodRecord) return optionsOf(node.valueType as z.ZodType, `${above}.*`);
    if (node instanceof z.ZodArray) return optionsOf(node.element as z.ZodType, `${above}[]`);
    return Object.entries(node.shape).flatMap(([name, inner]) => {
      const key = above === '' ? name : `${above}.${name}`;
      const option = inner as z.ZodType;
      return [optionOf(key, option), ...optionsOf(option, key)];
    });
  });
}

function optionOf(key: string, schema: z.ZodType): ConfigOption {
  return {
    key,
    takes: expectedBy(schema),
    usual: defaultOf(schema),
    read: (value) => {
      const result = schema.safeParse(value);
      return result.success ? result.data : undefined;
    },
  };
}

/** What a schema says that it wants is said of what nothing can want. */
function expectedBy(schema: z.ZodType): string | undefined {
  const result = schema.safeParse(Number.NaN);
  const words = result.success ? [] : result.error.issues.flatMap(wordsOf);
  const maps = nodesIn(schema).filter((node) => !(node instanceof z.ZodArray));
  const [only] = words;
  if (maps.length > 0 && (only === undefined || only === 'a map')) return undefined;
  const list = nodesIn(schema).find((node) => node instanceof z.ZodArray);
  if (list !== undefined && only === 'a list') {
    const item = expectedBy(list.element as z.ZodType);
    return item === undefined ? 'a list of maps' : `a list, each: ${item}`;
  }
  const telling = words.filter((word) => word !== 'a list' || words.length === 1);
  return telling.join(', or ');
}

function wordsOf(issue: z.core.$ZodIssue): string[] {
  if (issue.code === 'invalid_union') {
    return [...new Set(issue.errors.flat().flatMap(wordsOf))];
  }
  if (issue.code === 'invalid_value') return issue.values.map(String);
  if (issue.code !== 'invalid_type') return [issue.message];
  if (issue.message.startsWith('a list')) return [issue.message];
  return [issue.expected === 'array' ? 'a list' : 'a map'];
}

function defaultOf(schema: z.ZodType): { readonly value: unknown } | undefined {
  if (schema instanceof z.ZodDefault) return { value: schema.def.defaultValue };
  if (schema instanceof z.ZodPrefault) {
    const result = schema.safeParse(undefined);
    return result.success ? { value: result.data } : undefined;
  }
  if (schema instanceof z.ZodPipe)
    return defaultOf(schema.out as z.ZodType) ?? defaultOf(schema.in as z.ZodType);
  return undefined;
}

/** Peels defaults, pipes and unions off, down to maps and lists. */
function nodesIn(schema: z.ZodType): Node[] {
  if (
    schema instanceof z.ZodObject ||
    schema instanceof z.ZodRecord ||
    schema instanceof z.ZodArray
  ) {
    return [schema];
  }
  if (schema instanceof z.ZodUnion) return (schema.options as z.ZodType[]).flatMap(nodesIn);
  if (schema instanceof z.ZodPipe) {
    return [...nodesIn(schema.in as z.ZodType), ...nodesIn(schema.out as z.ZodType)];
  }
  const isWrapped =
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional;
  return isWrapped ? nodesIn(schema.unwrap() as z.ZodType) : [];
}
