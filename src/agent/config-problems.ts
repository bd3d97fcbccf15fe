import { z } from 'zod';
import { formatPlace } from '../errors.ts';
import { suggestion } from '../words.ts';
import type { ConfigDocument, DataPath, Problem } from './config-document.ts';

/**
 * What the schema found wrong → one line each: place, what was expected, what was found. A value
 * that came from a file or the environment, or that is a secret by its name, is never shown.
 */
const SECRETS: ReadonlySet<string> = new Set([
  'password',
  'passphrase',
  'token',
  'adminToken',
  'secret',
  'keys',
  'key',
  'cert',
  'headers',
]);
/** Sections with secrets in them, where somebody may write one text instead. */
const SECRET_SECTIONS: ReadonlySet<DataPath[number] | undefined> = new Set([
  'sasl',
  'users',
  'jwt',
]);
const SHOWN_CHARACTERS = 60;

export function problemsOf(
  issues: readonly z.core.$ZodIssue[],
  document: ConfigDocument,
  schema: z.ZodType,
): Problem[] {
  return issues.flatMap((issue) => problemsOfIssue(issue, [], document, schema));
}

export function formatProblem(problem: Problem): string {
  return `${formatPlace(problem.place)}: ${problem.message}`;
}

function problemsOfIssue(
  issue: z.core.$ZodIssue,
  above: DataPath,
  document: ConfigDocument,
  schema: z.ZodType,
): Problem[] {
  const at = [...above, ...(issue.path as DataPath)];
  if (issue.code === 'invalid_union') {
    return unionProblems(issue, at, document, schema);
  }
  if (issue.code === 'unrecognized_keys') {
    const known = keysAt(schema, at);
    return issue.keys.map((key) => ({
      place: document.placeOf([...at, key], 'key'),
      message: `unknown option${suggestion(key, known)}`,
    }));
  }
  const expected = expectedOf(issue);
  const found = foundOf(issue, at, document);
  return [{ place: document.placeOf(at), message: `expected ${expected}, found ${found}` }];
}

/**
 * Every union here is `false | section`, `text | section` or `text | list`: whoever wrote a map meant the
 * section, and whoever wrote a list the list, where there is one.
 */
function unionProblems(
  issue: z.core.$ZodIssueInvalidUnion,
  at: DataPath,
  document: ConfigDocument,
  schema: z.ZodType,
): Problem[] {
  const value = valueAt(document.value, at);
  const branch = issue.errors.at(-1) ?? [];
  const isMap = typeof value === 'object' && value !== null && !Array.isArray(value);
  const isItsList = Array.isArray(value) && branch.every(({ path }) => path.length > 0);
  if (isMap || isItsList) {
    return branch.flatMap((inner) => problemsOfIssue(inner, at, document, schema));
  }
  const [simple] = issue.errors[0] ?? [];
  if (simple?.code === 'custom') return problemsOfIssue(simple, at, document, schema);
  const message = `expected false or a map of options, found ${describe(value, at, document)}`;
  return [{ place: document.placeOf(at), message }];
}

function expectedOf(issue: z.core.$ZodIssue): string {
  if (issue.code !== 'invalid_type' || issue.message.startsWith('a list')) return issue.message;
  if (issue.expected === 'array') return 'a list';
  return ['object', 'record'].includes(issue.expected) ? 'a map of options' : issue.expected;
}

function foundOf(issue: z.core.$ZodIssue, at: DataPath, document: ConfigDocument): string {
  const params = issue.code === 'custom' ? issue.params : undefined;
  const told: unknown = params?.['found'];
  if (typeof told === 'string') return told;
  const value = valueAt(document.value, at);
  const found = describe(value, at, document);
  const isBare = typeof value === 'number' || typeof value === 'boolean';
  return isBare && params?.['wantsText'] === true ? `${found} (put it in quotes)` : found;
}

function describe(value: unknown, at: DataPath, document: ConfigDocument): string {
  if (value === undefined || value === null) return 'nothing';
  if (Array.isArray(value)) return value.length === 0 ? 'an empty list' : 'a list';
  if (typeof value === 'object') return 'a map';
  const secret =
    SECRET_SECTIONS.has(at.at(-1)) ||
    at.some((part) => typeof part === 'string' && SECRETS.has(part));
  const isRouteKey = at[0] === 'routes';
  // Of an address, with or without its scheme: name and password may stand in it, and @ and / in those.
  const inAddress = typeof value === 'string' && /:\S*@/u.test(value);
  if (document.isHidden(at) || (secret && !isRouteKey) || inAddress) {
    if (value === '') return 'an empty text';
    return typeof value === 'string' ? 'a text that is not shown' : `a ${typeof value}`;
  }
  if (typeof value !== 'string') return `the ${typeof value} ${JSON.stringify(value)}`;
  const short = value.length > SHOWN_CHARACTERS ? `${value.slice(0, SHOWN_CHARACTERS)}…` : value;
  return JSON.stringify(short);
}

function valueAt(value: unknown, at: DataPath): unknown {
  let current = value;
  for (const part of at) {
    if (typeof current !== 'object' || current === null) return undefined;
    current = (current as Record<string | number, unknown>)[part];
  }
  return current;
}

/** Names of the options that the schema has at `at`; none where names are free. */
function keysAt(schema: z.ZodType, at: DataPath): readonly string[] {
  return containersAt(schema, at).flatMap((node) =>
    node instanceof z.ZodObject ? Object.keys(node.shape) : [],
  );
}

/** Whether `name` may stand in the map at `at`: an option, or where names are free. */
export function isKnownName(schema: z.ZodType, at: DataPath, name: string): boolean {
  const containers = containersAt(schema, at);
  return (
    containers.some((node) => node instanceof z.ZodRecord) ||
    keysAt(schema, at).includes(name) ||
    // A value that takes a map as it is, such as {cap: RATE}.
    containers.length === 0
  );
}

function containersAt(schema: z.ZodType, at: DataPath): Container[] {
  let current = objectsWithin(schema);
  for (const part of at) {
    current = current.flatMap((node) => {
      if (node instanceof z.ZodObject) {
        const inner = node.shape[String(part)] as z.ZodType | undefined;
        return inner === undefined ? [] : objectsWithin(inner);
      }
      if (node instanceof z.ZodRecord) return objectsWithin(node.valueType as z.ZodType);
      return node instanceof z.ZodArray ? objectsWithin(node.element as z.ZodType) : [];
    });
  }
  return current;
}

/** All options as dotted paths, `*` for a free name and `[]` for an item. Empty maps count too. */
export function allKeys(schema: z.ZodType, above = ''): string[] {
  return objectsWithin(schema).flatMap((node) => {
    if (node instanceof z.ZodRecord) return allKeys(node.valueType as z.ZodType, `${above}.*`);
    if (node instanceof z.ZodArray) return allKeys(node.element as z.ZodType, `${above}[]`);
    if (!(node instanceof z.ZodObject)) return [];
    const keys: string[] = [];
    for (const [key, inner] of Object.entries(node.shape)) {
      const full = above === '' ? key : `${above}.${key}`;
      keys.push(full, ...allKeys(inner as z.ZodType, full));
    }
    return keys;
  });
}

type Container = z.ZodObject | z.ZodRecord | z.ZodArray;

/** Peels defaults, pipes and unions off, down to the maps and lists. */
function objectsWithin(schema: z.ZodType): Container[] {
  if (
    schema instanceof z.ZodObject ||
    schema instanceof z.ZodRecord ||
    schema instanceof z.ZodArray
  ) {
    return [schema];
  }
  if (schema instanceof z.ZodUnion) {
    return (schema.options as z.ZodType[]).flatMap((option) => objectsWithin(option));
  }
  if (schema instanceof z.ZodPipe) {
    return [...objectsWithin(schema.in as z.ZodType), ...objectsWithin(schema.out as z.ZodType)];
  }
  if (
    schema instanceof z.ZodDefault ||
    schema instanceof z.ZodPrefault ||
    schema instanceof z.ZodOptional
  ) {
    return objectsWithin(schema.unwrap() as z.ZodType);
  }
  return [];
}
