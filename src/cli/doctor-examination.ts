import path from 'node:path';
import { loadConfig, type LoadedConfig } from '../agent/config.ts';
import { redactConfig } from '../agent/config-redaction.ts';
import { GatelogError, messageOf } from '../errors.ts';
import type { WayStep } from '../mirror/way.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { configSections } from './doctor-config-sections.ts';
import { type DoctorFacts, gatherFacts } from './doctor-facts.ts';
import { gatherMachine, type MachineFacts } from './doctor-machine.ts';
import { MACHINE_SECTIONS } from './doctor-machine-sections.ts';
import { type Section, SECTIONS } from './doctor-sections.ts';
import { dataFolderOf, writtenDataFolder } from './place.ts';
import { upstreamWay } from './upstream-way.ts';

export interface ExamineOptions {
  /** Nothing is asked of the network. */
  readonly offline: boolean;
  /** A data folder that can't be looked at is a finding, and the rest is looked at. Default: it is thrown. */
  readonly isForBundle?: boolean | undefined;
}

/** All that a doctor looked at, and what it makes of it. */
export interface Examination {
  readonly data: string;
  /** undefined: a configuration was named, and its data folder is not there yet. */
  readonly facts: DoctorFacts | undefined;
  readonly machine: MachineFacts;
  /** By mirror; empty without a configuration. */
  readonly ways: Readonly<Record<string, readonly WayStep[]>>;
  readonly sections: readonly Section[];
  readonly findings: readonly string[];
  readonly advice: readonly string[];
}

/** Reads only. Throws NOT_FOUND when there is neither a data folder nor a configuration. */
export async function examination(
  context: CliContext,
  options: PlaceOptions & ExamineOptions,
): Promise<Examination> {
  const { env, workingFolder, clock } = context;
  const file = options.config;
  const { loaded, trouble } = configIn(context, options);
  const data = dataIn(context, options, trouble);
  const folder = await lookAt(data, loaded, options);
  const { facts } = folder;
  const machine = await gatherMachine(data, facts?.agent?.pid ?? 'self');
  const maxConnections = loaded?.config.mqtt.maxConnections;
  const sections = [
    ...folder.sections,
    ...MACHINE_SECTIONS.map((section) => section({ machine, maxConnections })),
  ];
  if (file !== undefined && loaded !== undefined) {
    const redaction = redactConfig(loaded.files, { env, workingFolder });
    const whole = path.resolve(workingFolder, file);
    sections.push(...(await configSections(loaded, redaction, whole, clock)));
  }
  if (trouble !== undefined) sections.push(troubleSection(trouble));
  const ways = options.offline ? {} : await waysOf(loaded, context);
  if (trouble === undefined) sections.push(...waySections(ways, options));
  return {
    data,
    facts,
    machine,
    ways,
    sections,
    findings: sections.flatMap(({ findings }) => findings),
    advice: sections.flatMap(({ advice = [] }) => advice),
  };
}

interface NamedConfig {
  readonly loaded: LoadedConfig | undefined;
  readonly trouble: GatelogError | undefined;
}

function configIn({ env, workingFolder }: CliContext, { config }: PlaceOptions): NamedConfig {
  if (config === undefined) return { loaded: undefined, trouble: undefined };
  try {
    return { loaded: loadConfig(config, { env, workingFolder }), trouble: undefined };
  } catch (error) {
    if (!(error instanceof GatelogError) || error.code !== 'CONFIG_INVALID') throw error;
    return { loaded: undefined, trouble: error };
  }
}

/** A configuration that is wrong is a finding, if it is known where else there is something to look at. */
function dataIn(
  context: CliContext,
  options: PlaceOptions,
  trouble: GatelogError | undefined,
): string {
  const written = options.data ?? writtenDataFolder(context, options);
  if (trouble === undefined || written === undefined) return dataFolderOf(context, options);
  return path.resolve(context.workingFolder, written);
}

function troubleSection({ message }: GatelogError): Section {
  const lines = ['it is wrong; an agent that runs goes on with what it had'];
  return { title: 'config', lines, findings: message.split('\n') };
}

interface FolderView {
  readonly facts: DoctorFacts | undefined;
  readonly sections: readonly Section[];
}

async function lookAt(
  data: string,
  loaded: LoadedConfig | undefined,
  { isForBundle = false }: ExamineOptions,
): Promise<FolderView> {
  try {
    const facts = await gatherFacts(data);
    return { facts, sections: SECTIONS.map((section) => section(facts)) };
  } catch (error) {
    const isMissing = error instanceof GatelogError && error.code === 'NOT_FOUND';
    const mayCome = isMissing && loaded !== undefined && !loaded.config.store.mustExist;
    if (!mayCome && !isForBundle) throw error;
    const lines = mayCome
      ? ['there is no data folder yet; the first start makes it']
      : ['not looked at'];
    const findings = mayCome ? [] : [messageOf(error)];
    return { facts: undefined, sections: [{ title: 'log', lines, findings }] };
  }
}

async function waysOf(
  loaded: LoadedConfig | undefined,
  { clock }: CliContext,
): Promise<Record<string, WayStep[]>> {
  const ways: Record<string, WayStep[]> = {};
  if (loaded === undefined) return ways;
  for (const [name, mirror] of Object.entries(loaded.config.mirrors)) {
    const steps: WayStep[] = [];
    for await (const step of upstreamWay(loaded.config, mirror, clock)) steps.push(step);
    ways[name] = steps;
  }
  return ways;
}

function waySections(
  ways: Readonly<Record<string, readonly WayStep[]>>,
  { config, offline }: PlaceOptions & ExamineOptions,
): Section[] {
  const title = 'upstream';
  if (offline) return [];
  if (config === undefined) {
    const line = '--config FILE has the way to it walked step by step';
    return [{ title, lines: [line], findings: [] }];
  }
  if (Object.keys(ways).length === 0)
    return [{ title, lines: ['none is configured'], findings: [] }];
  return Object.entries(ways).map(([name, steps]) => ({
    title: `to ${name}`,
    lines: steps.filter(({ state }) => state === 'good').map(stepText),
    findings: steps.filter(({ state }) => state === 'failed').map(stepText),
    advice: steps.filter(({ state }) => state === 'doubtful').map(stepText),
  }));
}

function stepText({ name, text }: WayStep): string {
  return `${name}: ${text}`;
}
