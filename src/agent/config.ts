import { readFileSync } from 'node:fs';
import path from 'node:path';
import { formatPlace, GatelogError, type Place } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { readConfigDocument, reasonOf } from './config-document.ts';
import type { DataPath, Problem } from './config-document.ts';
import { gatewayOf } from './config-forms.ts';
import { jwtIn } from './config-jwt.ts';
import { tlsIn } from './config-listen.ts';
import { allKeys, formatProblem, problemsOf } from './config-problems.ts';
import { checkRules } from './config-rules.ts';
import { configSchema } from './config-schema.ts';
import type { ClockConfig, Config, MirrorConfig, MqttConfig } from './config-types.ts';

/** YAML file → checked Config, or one line for each thing that is wrong. */
export interface LoadedConfig {
  readonly config: Config;
  /** As it is written, with what `${file:…}` and `${env:…}` stand for. */
  readonly document: unknown;
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
  const folder = path.dirname(path.resolve(surroundings.workingFolder, file));
  const document = readConfigDocument(text, file, { env: surroundings.env, folder });
  const { problems } = document;
  const shape = configSchema.safeParse(document.value);
  if (!shape.success) {
    const places = new Set(problems.map(({ place }) => formatPlace(place)));
    const found = problemsOf(shape.error.issues, document, configSchema);
    fail([...problems, ...found.filter(({ place }) => !places.has(formatPlace(place)))]);
  }
  const findings = checkRules(shape.data, document);
  if (problems.length + findings.errors.length > 0) fail([...problems, ...findings.errors]);
  const { data } = shape.data;
  const config = {
    ...shape.data,
    gateway: gatewayOf(shape.data),
    gatewayGiven: shape.data.gateway !== undefined,
    data:
      data === undefined
        ? path.resolve(surroundings.workingFolder, 'gatelog-data')
        : path.resolve(folder, data),
    clock: { ...shape.data.clock, trust: trustIn(folder, shape.data.clock.trust) },
    mqtt: withFilesIn(folder, shape.data.mqtt),
    http: { ...shape.data.http, tls: tlsIn(folder, shape.data.http.tls) },
    mirrors: withTokenFilesIn(folder, shape.data.mirrors),
  };
  const warnings = findings.warnings.map((warning) => formatProblem(warning));
  return { config, document: document.value, warnings, placeOf: (at) => document.placeOf(at) };
}

function trustIn(folder: string, trust: ClockConfig['trust']): ClockConfig['trust'] {
  return trust.startsWith('file:') ? `file:${path.resolve(folder, trust.slice(5))}` : trust;
}

function withFilesIn(folder: string, mqtt: MqttConfig): MqttConfig {
  const listen = mqtt.listen.map((each) => ({ ...each, tls: tlsIn(folder, each.tls) }));
  const at = (file: string | undefined): string | undefined =>
    file === undefined ? undefined : path.resolve(folder, file);
  return {
    ...mqtt,
    listen,
    tls: tlsIn(folder, mqtt.tls),
    usersFile: at(mqtt.usersFile),
    aclFile: at(mqtt.aclFile),
    jwt: jwtIn(folder, mqtt.jwt),
  };
}

function withTokenFilesIn(
  folder: string,
  mirrors: Readonly<Record<string, MirrorConfig>>,
): Record<string, MirrorConfig> {
  const entries = Object.entries(mirrors).map(([name, mirror]): [string, MirrorConfig] => {
    const { upstream } = mirror;
    if (upstream.kind !== 'kafka' || upstream.sasl?.mechanism !== 'OAUTHBEARER') {
      return [name, mirror];
    }
    const tokenFile = path.resolve(folder, upstream.sasl.tokenFile);
    const sasl = { mechanism: 'OAUTHBEARER' as const, tokenFile };
    return [name, { ...mirror, upstream: { ...upstream, sasl } }];
  });
  return Object.fromEntries(entries);
}

/** Every option as a dotted path: for the test that holds the reference to the schema. */
export function configKeys(): readonly string[] {
  return allKeys(configSchema);
}

/** Throws CONFIG_INVALID. */
export function readConfigText(file: string, workingFolder: string): string {
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

function fail(problems: readonly Problem[]): never {
  const sorted = problems.toSorted(
    (left, right) =>
      (left.place.line ?? 0) - (right.place.line ?? 0) ||
      (left.place.column ?? 0) - (right.place.column ?? 0),
  );
  const lines = [...new Set(sorted.map((problem) => formatProblem(problem)))];
  const place = sorted[0]?.place;
  throw new GatelogError('CONFIG_INVALID', lines.join('\n'), place === undefined ? {} : { place });
}
