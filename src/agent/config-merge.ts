import { formatPlace, type Place } from '../errors.ts';
import type { ConfigDocument, DataPath, Problem, Reference } from './config-document.ts';

/** A value of one file, and where in that file it stands. */
interface Part {
  readonly document: ConfigDocument;
  readonly at: DataPath;
  readonly value: unknown;
}

/** A file of several that are one configuration. */
export interface MergedFile {
  readonly document: ConfigDocument;
  /** What of it is put together with the others. */
  readonly value: unknown;
}

/**
 * Several files as one document: maps are put together, lists one behind the other in the order of the files, and
 * anything else can be written once. It knows of each value in which file it stands.
 */
export class MergedDocument implements ConfigDocument {
  readonly value: unknown;
  readonly problems: readonly Problem[];
  readonly references: readonly Reference[];
  readonly #main: ConfigDocument;
  readonly #conflicts: Problem[] = [];
  readonly #origins = new Map<string, Part>();

  /** `problems`: what else is wrong with the files. */
  constructor(main: ConfigDocument, files: readonly MergedFile[], problems: readonly Problem[]) {
    this.#main = main;
    this.value = this.#merge(
      files.map(({ document, value }) => ({ document, at: [], value })),
      [],
    );
    this.references = files.flatMap(({ document }) => document.references);
    this.problems = [...problems, ...this.#conflicts];
  }

  placeOf(dataPath: DataPath, what: 'key' | 'value' = 'value'): Place {
    const { document, at } = this.#originOf(dataPath);
    return document.placeOf(at, what);
  }

  isHidden(dataPath: DataPath): boolean {
    const { document, at } = this.#originOf(dataPath);
    return document.isHidden(at);
  }

  /** What is nowhere stands where what is around it does. */
  #originOf(dataPath: DataPath): Pick<Part, 'document' | 'at'> {
    for (let depth = dataPath.length; depth > 0; depth--) {
      const origin = this.#origins.get(JSON.stringify(dataPath.slice(0, depth)));
      if (origin === undefined) continue;
      return { document: origin.document, at: [...origin.at, ...dataPath.slice(depth)] };
    }
    return { document: this.#main, at: dataPath };
  }

  #merge(all: readonly Part[], at: DataPath): unknown {
    const telling = all.filter(({ value }) => value !== null && value !== undefined);
    const [first, ...others] = telling.length === 0 ? all.slice(0, 1) : telling;
    if (first === undefined) return undefined;
    this.#origins.set(JSON.stringify(at), first);
    if (others.length === 0) return first.value;
    if (telling.every(({ value }) => Array.isArray(value))) return this.#joined(telling, at);
    if (telling.every(({ value }) => isMap(value))) return this.#united(telling, at);
    for (const other of others) {
      this.#conflicts.push({
        place: other.document.placeOf(other.at, 'key'),
        message: `stands in ${formatPlace(first.document.placeOf(first.at, 'key'))} too, and can be written in one place only`,
      });
    }
    return first.value;
  }

  #joined(lists: readonly Part[], at: DataPath): unknown[] {
    const items = lists.flatMap((part) =>
      (part.value as readonly unknown[]).map((value, index): Part => ({
        document: part.document,
        at: [...part.at, index],
        value,
      })),
    );
    return items.map((item, index) => this.#merge([item], [...at, index]));
  }

  #united(maps: readonly Part[], at: DataPath): Record<string, unknown> {
    const entries = maps.flatMap((part) =>
      Object.entries(part.value as Readonly<Record<string, unknown>>).map(
        ([name, value]): [string, Part] => [
          name,
          { document: part.document, at: [...part.at, name], value },
        ],
      ),
    );
    const united = Object.create(null) as Record<string, unknown>;
    for (const [name, parts] of Map.groupBy(entries, ([key]) => key)) {
      united[name] = this.#merge(
        parts.map(([, part]) => part),
        [...at, name],
      );
    }
    return united;
  }
}

function isMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
