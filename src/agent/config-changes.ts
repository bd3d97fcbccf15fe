import { isDeepStrictEqual } from 'node:util';
import type { DataPath } from './config-document.ts';
import { configSchema } from './config-schema.ts';

/**
 * What differs between two configurations, as people wrote them: the options whose meaning changed. One
 * that is written out and says what was the default anyway has not.
 */
export function changedOptions(before: unknown, after: unknown): DataPath[] {
  const differing: DataPath[] = [];
  compare(before, after, [], differing);
  return differing.filter((at) => meansAnother(before, after, at));
}

/** What is taken in one piece: a mirror begins anew with everything that is said of it. */
export function wholeOf(at: DataPath): DataPath {
  return at[0] === 'mirrors' ? at.slice(0, 2) : at;
}

/** The document with what another has at `at`. Both stay as they are. */
export function withValueOf(document: unknown, other: unknown, at: DataPath): unknown {
  const [key, ...rest] = at;
  if (key === undefined) return other;
  const inner = valueAt(other, [key]);
  const { [key]: mine, ...others } = mapOf(document);
  const value = rest.length === 0 ? inner : withValueOf(mine, inner, rest);
  return value === undefined ? others : { ...others, [key]: value };
}

function compare(before: unknown, after: unknown, at: DataPath, differing: DataPath[]): void {
  if (isDeepStrictEqual(before, after)) return;
  if (!isSection(before, at) || !isSection(after, at)) {
    differing.push(at);
    return;
  }
  const [one, other] = [mapOf(before), mapOf(after)];
  for (const key of new Set([...Object.keys(one), ...Object.keys(other)])) {
    compare(one[key], other[key], [...at, key], differing);
  }
}

/** A part of the document with options in it. One that is not there has them all by default. */
function isSection(value: unknown, at: DataPath): boolean {
  if (typeof value === 'object' && value !== null) return !Array.isArray(value);
  // A topic or a mirror that is not there is none with defaults.
  const hasName = at.length === 2 && (at[0] === 'topics' || at[0] === 'mirrors');
  return (value === null || value === undefined) && !hasName;
}

function mapOf(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : {};
}

function valueAt(value: unknown, at: DataPath): unknown {
  return at.reduce<unknown>((inner, key) => mapOf(inner)[key], value);
}

/** Alone: an option that can't stand without the others that changed counts as changed. */
function meansAnother(before: unknown, after: unknown, at: DataPath): boolean {
  const was = configSchema.safeParse(before);
  const would = configSchema.safeParse(withValueOf(before, after, at));
  return !was.success || !would.success || !isDeepStrictEqual(was.data, would.data);
}
