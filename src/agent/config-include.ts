import { readFileSync, realpathSync } from 'node:fs';
import path from 'node:path';
import type { z } from 'zod';
import { formatPlace, type Place, systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import {
  type ConfigDocument,
  type Problem,
  readConfigDocument,
  reasonOf,
  type Sources,
} from './config-document.ts';
import { listOf, orAbsent, text } from './config-leaves.ts';
import { type MergedFile, MergedDocument } from './config-merge.ts';
import { withAbsolutePaths } from './config-paths.ts';
import { filesMatching, isPattern } from './config-pattern.ts';
import { problemsOf } from './config-problems.ts';

/** The option `include`: other files that are parts of the configuration. */
export interface ConfigFile {
  /** As messages name it. */
  readonly file: string;
  readonly text: string;
}

export interface WholeConfig {
  readonly document: ConfigDocument;
  /** All that were read: the first, and then those that it includes. */
  readonly files: readonly ConfigFile[];
  /** False: what one of them says is not known, so that nothing can be said of the whole. */
  readonly isComplete: boolean;
}

export interface IncludeSources extends Pick<Sources, 'env' | 'machineIdFile'> {
  readonly workingFolder: string;
}

const FILE_EXPECTED = 'the path of a file, or a pattern such as conf.d/*.yaml, without **';

export const includeList: z.ZodType<readonly string[] | undefined> = orAbsent(
  listOf(
    text(FILE_EXPECTED, (value) => !value.includes('**')),
    '[conf.d/*.yaml]',
  ).optional(),
);

/** `first.file` is relative to the working folder. */
export function readWholeConfig(first: ConfigFile, sources: IncludeSources): WholeConfig {
  return new IncludeReader(first, sources).whole();
}

/** A file, and how one comes to it. */
interface Way {
  readonly name: string;
  readonly file: string;
  /** What links lead to. */
  readonly id: string;
  /** By which one comes to it, the first before. */
  readonly through: readonly Way[];
}

/** An item of an `include`. */
interface Entry {
  readonly text: string;
  readonly place: Place;
  readonly by: Way;
}

class IncludeReader {
  readonly #first: ConfigFile;
  readonly #sources: IncludeSources;
  readonly #folder: string;
  readonly #files: ConfigFile[] = [];
  /** In the order in which they count: what a file includes comes before what it says. */
  readonly #merged: MergedFile[] = [];
  readonly #problems: Problem[] = [];
  /** Where each file is included, by its id. */
  readonly #included = new Map<string, Place>();
  #isComplete = true;

  constructor(first: ConfigFile, sources: IncludeSources) {
    this.#first = first;
    this.#sources = sources;
    this.#folder = path.dirname(path.resolve(sources.workingFolder, first.file));
  }

  whole(): WholeConfig {
    const { file: name, text: content } = this.#first;
    const file = path.resolve(this.#sources.workingFolder, name);
    const main = this.#read({ name, file, id: idOf(file), through: [] }, content);
    return {
      document: new MergedDocument(main, this.#merged, this.#problems),
      files: this.#files,
      isComplete: this.#isComplete,
    };
  }

  #read(way: Way, content: string): ConfigDocument {
    this.#files.push({ file: way.name, text: content });
    const folder = path.dirname(way.file);
    const credentialsFolder = path.join(this.#folder, 'credentials');
    const { env, machineIdFile } = this.#sources;
    const sources = { env, machineIdFile, folder, credentialsFolder };
    const document = readConfigDocument(content, way.name, sources);
    this.#problems.push(...document.problems);
    if (document.value === undefined) this.#isComplete = false;
    const { include, ...own } = mapOf(document.value);
    for (const [index, entry] of this.#listOf(include, document).entries()) {
      const place = document.placeOf(['include', index]);
      this.#include({ text: entry, place, by: way });
    }
    const isIncluded = way.through.length > 0;
    const { value } = document;
    if (isMap(value)) this.#merged.push({ document, value: withAbsolutePaths(own, folder) });
    else if (!isIncluded) this.#merged.push({ document, value });
    else if (value !== undefined && value !== null) this.#refuseText(document);
    return document;
  }

  #listOf(include: unknown, document: ConfigDocument): readonly string[] {
    const list = includeList.safeParse(include);
    if (list.success) return list.data ?? [];
    const issues = list.error.issues.map((issue) => ({
      ...issue,
      path: ['include', ...issue.path],
    }));
    this.#isComplete = false;
    this.#problems.push(...problemsOf(issues, document, includeList));
    return [];
  }

  #include(entry: Entry): void {
    const folder = path.dirname(entry.by.file);
    let files = [path.resolve(folder, entry.text)];
    try {
      if (isPattern(entry.text)) files = filesMatching(entry.text, folder);
    } catch (error) {
      this.#refuse(entry, `can't look for ${entry.text}: ${reasonOf(error)}`);
      return;
    }
    for (const file of files) {
      const inside = path.join(path.dirname(entry.by.name), path.relative(folder, file));
      const name = path.isAbsolute(entry.text) ? file : inside;
      const way = { name, file, id: idOf(file), through: [...entry.by.through, entry.by] };
      const trouble = this.#troubleOf(way);
      if (trouble === undefined) this.#includeFile(way, entry);
      else this.#refuse(entry, trouble);
    }
  }

  #troubleOf({ name, id, through }: Way): string | undefined {
    const at = through.findIndex((way) => way.id === id);
    if (at !== -1) {
      const circle = [...through.slice(at).map((way) => way.name), name].join(' → ');
      return `includes go in a circle: ${circle}`;
    }
    const before = this.#included.get(id);
    if (before !== undefined) {
      return `${name} is included a second time; the first is ${formatPlace(before)}`;
    }
    if (through.length > LIMITS.configIncludeDepth) {
      const all = [...through, { name }].map((way) => way.name).join(' → ');
      return `includes go deeper than ${LIMITS.configIncludeDepth} files: ${all}`;
    }
    const isFull = this.#files.length >= LIMITS.configFiles;
    return isFull ? `more than ${LIMITS.configFiles} files are one configuration` : undefined;
  }

  #includeFile(way: Way, entry: Entry): void {
    this.#included.set(way.id, entry.place);
    let content: string;
    try {
      content = readFileSync(way.file, 'utf8');
    } catch (error) {
      const isFolder = systemCodeOf(error) === 'EISDIR';
      const mend = isFolder ? `; ${way.name}/*.yaml is every such file in it` : '';
      this.#refuse(entry, `can't read ${way.name}: ${reasonOf(error)}${mend}`);
      return;
    }
    if (content.length > LIMITS.configFileBytes) {
      this.#refuse(entry, `${way.name} is too large to be a configuration (more than 1 MiB)`);
      return;
    }
    this.#read(way, content);
  }

  #refuseText(document: ConfigDocument): void {
    const message = 'expected a map of options, as every file of one configuration has';
    this.#isComplete = false;
    this.#problems.push({ place: document.placeOf([]), message });
  }

  #refuse({ place }: Entry, message: string): void {
    this.#isComplete = false;
    this.#problems.push({ place, message });
  }
}

function isMap(value: unknown): boolean {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function mapOf(value: unknown): Readonly<Record<string, unknown>> {
  return isMap(value) ? (value as Readonly<Record<string, unknown>>) : {};
}

/** One file may have many names. */
function idOf(file: string): string {
  try {
    return realpathSync(file);
  } catch {
    return file;
  }
}
