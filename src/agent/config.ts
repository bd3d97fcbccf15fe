import { readFileSync } from 'node:fs';
import path from 'node:path';
import { formatPlace, GatelogError, type Place } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { type DataPath, type Problem, reasonOf } from './config-document.ts';
import { gatewayOf } from './config-forms.ts';
import { type ConfigFile, readWholeConfig } from './config-include.ts';
import { allKeys, formatProblem, problemsOf } from './config-problems.ts';
import { checkRules } from './config-rules.ts';
import { configSchema } from './config-schema.ts';
import type { Config } from './config-types.ts';

/** YAML file → checked Config, or one line for each thing that is wrong. */
export interface LoadedConfig {
  readonly config: Config;
  /** As it is written, with what `${file:…}` and `${env:…}` stand for. */
  readonly document: unknown;
  /** It, and those that it includes. */
  readonly files: readonly ConfigFile[];
  /** Absolute paths of the files that stand in for texts in it (`${file:…}`, `${credential:…}`). */
  readonly references: readonly string[];
  /** Things that are allowed and probably not meant, ready to print. */
  readonly warnings: readonly string[];
  /** Where an option stands. */
  readonly placeOf: (at: DataPath) => Place;
}

export interface LoadSurroundings {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly workingFolder: string;
}

/** Throws CONFIG_INVALID whose message has one line per problem, in the order of the file. */
export function loadConfig(file: string, surroundings: LoadSurroundings): LoadedConfig {
  return parseConfig(readConfigText(file, surroundings.workingFolder), file, surroundings);
}

/** What there is without a file. */
export function defaultConfig(surroundings: LoadSurroundings): Config {
  return parseConfig('', 'gatelog.yaml', surroundings).config;
}

/** `file` names the text in messages; paths in the text are relative to its folder. */
export function parseConfig(
  text: string,
  file: string,
  surroundings: LoadSurroundings,
): LoadedConfig {
  const { document, files, isComplete } = readWholeConfig({ file, text }, surroundings);
  const { problems } = document;
  if (!isComplete) fail(problems, files);
  const shape = configSchema.safeParse(document.value);
  if (!shape.success) {
    const places = new Set(problems.map(({ place }) => formatPlace(place)));
    const found = problemsOf(shape.error.issues, document, configSchema);
    fail([...problems, ...found.filter(({ place }) => !places.has(formatPlace(place)))], files);
  }
  const findings = checkRules(shape.data, document);
  if (problems.length + findings.errors.length > 0) fail([...problems, ...findings.errors], files);
  const config = {
    ...shape.data,
    gateway: gatewayOf(shape.data),
    gatewayGiven: shape.data.gateway !== undefined,
    data: shape.data.data ?? path.resolve(surroundings.workingFolder, 'gatelog-data'),
  };
  const warnings = findings.warnings.map((warning) => formatProblem(warning));
  const placeOf = (at: DataPath): Place => document.placeOf(at);
  const references = document.references.flatMap((reference) => reference.file ?? []);
  return { config, document: document.value, files, references, warnings, placeOf };
}

/** What `file` and the files that it includes say, as far as they can be read. Throws where it can't itself. */
export function configFiles(file: string, surroundings: LoadSurroundings): readonly ConfigFile[] {
  const text = readConfigText(file, surroundings.workingFolder);
  return readWholeConfig({ file, text }, surroundings).files;
}

/** Every option as a dotted path: for the test that holds the reference to the schema. */
export function configKeys(): readonly string[] {
  return allKeys(configSchema);
}

/** Throws CONFIG_INVALID. */
function readConfigText(file: string, workingFolder: string): string {
  let text: string;
  try {
    text = readFileSync(path.resolve(workingFolder, file), 'utf8');
  } catch (error) {
    const message = `${file}: can't read the configuration: ${reasonOf(error)}`;
    throw new GatelogError('CONFIG_INVALID', message, { place: { file }, cause: error });
  }
  if (text.length > LIMITS.configFileBytes) {
    const message = `${file}: is too large to be a configuration (more than 1 MiB)`;
    throw new GatelogError('CONFIG_INVALID', message, { place: { file } });
  }
  return text;
}

function fail(problems: readonly Problem[], files: readonly ConfigFile[]): never {
  const order = new Map(files.map(({ file }, index) => [file, index]));
  const sorted = problems.toSorted(
    ({ place: left }, { place: right }) =>
      (order.get(left.file) ?? 0) - (order.get(right.file) ?? 0) ||
      (left.line ?? 0) - (right.line ?? 0) ||
      (left.column ?? 0) - (right.column ?? 0),
  );
  const lines = [...new Set(sorted.map((problem) => formatProblem(problem)))];
  const place = sorted[0]?.place;
  throw new GatelogError('CONFIG_INVALID', lines.join('\n'), place === undefined ? {} : { place });
}
