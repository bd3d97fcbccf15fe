import { LIMITS } from '../limits.ts';
import { GAPS } from '../loss.ts';
import { Auditor } from '../mirror/audit.ts';
import type { AuditReport } from '../mirror/audit.ts';
import { formatAudit } from '../mirror/audit-text.ts';
import { centralTopicName } from '../mirror/kafka/layout.ts';
import { DEFAULT_TREATMENT, topicMatcher, treatmentBy } from '../mirror/selection.ts';
import { holdProcess } from '../time.ts';
import { GatelogError, messageOf } from '../errors.ts';
import type { Config, KafkaUpstreamConfig, MirrorConfig } from '../agent/config-types.ts';
import { counted, suggestion } from '../words.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { paint, printError, printLine } from './context.ts';
import { withFlags } from './flags.ts';
import { Interrupt } from './output.ts';
import { configOf } from './place.ts';
import { readExpectation, tellAuditor } from './verify-expect.ts';
import type { Expectation } from './verify-expect.ts';
import { Arrivals } from './verify-gaps.ts';
import { auditKafka, auditLog } from './verify-sources.ts';

export interface VerifyOptions extends PlaceOptions {
  readonly kafka?: string | undefined;
  readonly gateway?: string | undefined;
  readonly mirror?: string | undefined;
  readonly log?: string | undefined;
  readonly topic?: readonly string[] | undefined;
  readonly unordered?: readonly string[] | undefined;
  readonly json: boolean;
}

/**
 * `gatelog verify`: exit code 1 when anything is missing, repeated, out of order or not read. Of several
 * mirrors each has its own result; one whose far side cannot be read keeps none of the others from theirs.
 */
export async function verify(context: CliContext, options: VerifyOptions): Promise<void> {
  const { config: fromFile } = configOf(context, options);
  const { data, kafka, gateway } = options;
  const config = withFlags(fromFile, { data, kafka, gateway }, context.workingFolder);
  const interrupt = new Interrupt();
  const hold = holdProcess(); // A clock's timers do not.
  try {
    const { signal } = interrupt;
    const { judged, unread } = mirrorsToVerify(config, options);
    const isOnly = judged.length + unread.length === 1;
    for (const [name, mirror] of judged) {
      const task = { config, options, name, mirror, signal };
      try {
        await verifyOne(context, task);
      } catch (error) {
        if (isOnly || signal.aborted || !(error instanceof GatelogError)) throw error;
        sayUnread(context, options, { name, code: error.code, text: error.message });
        context.exitCode = 1;
      }
    }
    for (const name of unread) {
      sayUnread(context, options, { name, code: 'NOT_READABLE', text: KEEPS_NOTHING });
    }
  } finally {
    interrupt.release();
    hold.cancel();
  }
}

async function verifyOne(context: CliContext, task: VerifyTask): Promise<void> {
  const { name, options } = task;
  const { report, notes } = await verifyMirror(context, task);
  if (report.records === 0) {
    printError(context, `warning: ${name}: no record there carries an identity: nothing to judge`);
  }
  printReport(context, name, report, notes, options.json);
  if (!report.clean) context.exitCode = 1;
}

const KEEPS_NOTHING =
  'an MQTT broker keeps no log to read; if it is a gatelog agent, name its data folder with --log, and this mirror with --mirror';

interface Unread {
  readonly name: string;
  readonly code: string;
  readonly text: string;
}

function sayUnread(
  context: CliContext,
  { json }: VerifyOptions,
  { name, code, text }: Unread,
): void {
  if (json) printLine(context, JSON.stringify({ mirror: name, notVerified: { code, text } }));
  else printLine(context, paint(context, 'yellow', `${name}: not verified: ${text}`));
}

export interface VerifyTask {
  readonly config: Config;
  readonly options: VerifyOptions;
  readonly name: string;
  readonly mirror: MirrorConfig | undefined;
  readonly signal: AbortSignal;
}

interface MirrorsToVerify {
  readonly judged: readonly (readonly [name: string, mirror: MirrorConfig | undefined])[];
  /** Names of those whose far side keeps nothing that could be read. */
  readonly unread: readonly string[];
}

/** Those of the configuration, or the one asked for. With `--log` a mirror is only a name. */
function mirrorsToVerify(config: Config, options: VerifyOptions): MirrorsToVerify {
  const { mirror: wanted, log } = options;
  const all = Object.entries(config.mirrors);
  const named = all.filter(([name]) => wanted === undefined || name === wanted);
  if (wanted !== undefined && named.length === 0 && log === undefined) {
    // Without a file the mirror of --kafka is only a name, too.
    const [only] = options.config === undefined ? all : [];
    if (only !== undefined) return { judged: [[wanted, only[1]]], unread: [] };
    const known = all.map(([name]) => name);
    const message = `there is no mirror "${wanted}" in the configuration${suggestion(wanted, known)}`;
    throw new GatelogError('NOT_FOUND', message);
  }
  const mqtt = named.filter(([, { upstream }]) => upstream.kind === 'mqtt');
  if (log !== undefined) {
    const names = mqtt.map(([name]) => name).join(', ');
    if (mqtt.length > 1) {
      const message = `several mirrors send over MQTT (${names}): name the one that sends to ${log} with --mirror`;
      throw new GatelogError('USAGE', message);
    }
    return { judged: [mqtt[0] ?? [wanted ?? 'central', undefined]], unread: [] };
  }
  const kafka = named.filter(([, { upstream }]) => upstream.kind === 'kafka');
  if (kafka.length > 0) return { judged: kafka, unread: mqtt.map(([name]) => name) };
  const [first] = mqtt;
  const message =
    first === undefined
      ? 'verify what? Name a cluster with --kafka, a configuration with --config, or a central data folder with --log'
      : `mirror "${first[0]}" sends to an MQTT broker, which keeps no log to read; if that is a gatelog agent, name its data folder with --log`;
  throw new GatelogError('USAGE', message);
}

interface Verified {
  readonly report: AuditReport;
  /** What a reader of the report must know of its limits. */
  readonly notes: readonly string[];
}

async function verifyMirror(context: CliContext, task: VerifyTask): Promise<Verified> {
  const { options, mirror, signal } = task;
  const auditor = new Auditor(unorderedTopics(task));
  const known = await expectationOf(context, task);
  const expected = known === undefined ? undefined : withinTopics(task, known);
  if (expected !== undefined) tellAuditor(auditor, expected);
  const kafka = mirror?.upstream.kind === 'kafka' ? mirror.upstream : undefined;
  const topics = kafka === undefined ? [] : topicsToRead(task, kafka, expected);
  const isAudited =
    options.log === undefined
      ? (topic: string): boolean => topics.includes(topic)
      : topicMatcher(options.topic ?? ['*']);
  const named = nameOfMirror(task, expected);
  const arrivals = new Arrivals({ auditor, isAudited, mirror: named, own: expected });
  let lacking: string | undefined;
  try {
    if (options.log !== undefined) {
      await auditLog(context, options.log, isAudited, arrivals, signal);
    } else if (kafka !== undefined) {
      const gaps = centralTopicName(kafka.topic, GAPS, task.config.gateway);
      lacking = await auditKafka(context, kafka, { topics, gaps }, arrivals, signal);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
  if (signal.aborted) {
    throw new GatelogError('VERIFY_FAILED', 'interrupted: part of the records were not read');
  }
  const report = auditor.report();
  const notes = [...notesOn(task, expected, report), ...notesOnGaps(report, arrivals, lacking)];
  return { report, notes };
}

/** Those that a person named, or whose mirror does not send them in the order of the log. */
function unorderedTopics({ options, mirror }: VerifyTask): (topic: string) => boolean {
  const isNamed = topicMatcher(options.unordered ?? []);
  const treatment = treatmentBy(mirror?.topics ?? []);
  return (topic) => {
    const { drain, sample } = treatment(topic) ?? DEFAULT_TREATMENT;
    return isNamed(topic) || drain !== DEFAULT_TREATMENT.drain || sample?.rest === 'later';
  };
}

/** Not where it is only a guess: what another mirror left out explains nothing here. */
function nameOfMirror(
  { options, name, mirror }: VerifyTask,
  expected: Expectation | undefined,
): string | undefined {
  const isKnown =
    options.mirror !== undefined ||
    (options.config !== undefined && mirror !== undefined) ||
    expected?.mirrors.includes(name) === true;
  return isKnown ? name : undefined;
}

/** Only what a person pointed at: `--data`, or the folder of the `--config` if it is here. */
async function expectationOf(
  context: CliContext,
  task: VerifyTask,
): Promise<Expectation | undefined> {
  const { config, options, name, mirror } = task;
  if (options.data === undefined && options.config === undefined) return undefined;
  const patterns = mirror?.topics ?? ['*'];
  const { data: folder, gateway } = config;
  const start = mirror?.start ?? 'beginning';
  try {
    return await readExpectation(context, { folder, gateway, mirror: name, patterns, start });
  } catch (error) {
    const isAbsent = error instanceof GatelogError && error.code === 'NOT_FOUND';
    if (!isAbsent || options.data !== undefined) throw error;
    printError(context, `warning: ${messageOf(error)}`);
    return undefined;
  }
}

/** Of the central topics that are read, where a person named some of them. */
function withinTopics({ config, options, mirror }: VerifyTask, expected: Expectation): Expectation {
  const { topic: wanted } = options;
  if (wanted === undefined) return expected;
  // What a central agent makes of a topic is for its own routes to say.
  if (mirror?.upstream.kind !== 'kafka') return { ...expected, ranges: [] };
  const { upstream } = mirror;
  const ranges = expected.ranges.filter(({ topic }) =>
    wanted.includes(centralTopicName(upstream.topic, topic, config.gateway)),
  );
  return { ...expected, ranges };
}

function topicsToRead(
  { config, options, mirror }: VerifyTask,
  kafka: KafkaUpstreamConfig,
  expected: Expectation | undefined,
): readonly string[] {
  if (options.topic !== undefined) return options.topic;
  const isMirrored = topicMatcher(mirror?.topics ?? ['*']);
  // One of which nothing was sent yet need not be there.
  const sent = new Set(expected?.ranges.filter(({ to }) => to > 0).map(({ topic }) => topic));
  const known = expected?.topics.filter((topic) => sent.has(topic));
  return [...(known ?? configuredTopics(config))]
    .filter((topic) => isMirrored(topic))
    .map((topic) => centralTopicName(kafka.topic, topic, config.gateway));
}

function configuredTopics(config: Config): Set<string> {
  return new Set([...Object.keys(config.topics), ...config.routes.map(({ topic }) => topic)]);
}

/** The limits of this report, for who reads it. */
function notesOn(
  { config, options, name, mirror }: VerifyTask,
  expected: Expectation | undefined,
  report: AuditReport,
): string[] {
  const notes: string[] = [];
  if (expected === undefined) {
    notes.push(
      "checked without the gateway's own data: a missing beginning or end cannot be seen; give --data or --config",
    );
    const isGuess = [options.topic, options.log, options.config].every((one) => one === undefined);
    const topics = [...configuredTopics(config)].join(', ');
    if (isGuess) notes.push(`only topic ${topics} was read; name others with --topic`);
  } else if (!expected.mirrors.includes(name)) {
    const known = expected.mirrors.join(', ') || 'none';
    notes.push(
      `checked without the gateway's own positions: it has no mirror "${name}" (it has: ${known}), so a missing beginning or end cannot be seen; give the --config that it runs with`,
    );
  } else if (options.topic !== undefined && options.log !== undefined) {
    notes.push(
      'only some of the central topics were read: a missing beginning or end cannot be seen',
    );
  } else if (mirror?.start === 'end') {
    notes.push('the mirror began at the end of the log: a missing beginning cannot be seen');
  }
  if (expected !== undefined && expected.waiting > 0) {
    notes.push(
      `not sent yet, and no part of this report: ${counted(expected.waiting, 'record')} of the gateway's log`,
    );
  }
  const other = expected === undefined ? undefined : otherName(expected, report);
  if (other !== undefined) {
    notes.push(
      `records of this very data folder are there under the gateway id "${other}" too: if it was renamed, what seems to be missing may be there; verify with --gateway ${other} to see`,
    );
  }
  return notes;
}

/** What may yet be declared, or is and was not believed. */
function notesOnGaps(
  { missing, repeats }: AuditReport,
  { mirrors, leftOut }: Arrivals,
  lacking: string | undefined,
): string[] {
  if (missing + repeats === 0) return [];
  const notes: string[] = [];
  if (missing > 0) {
    notes.push(
      `what a gateway declares lost arrives in ${GAPS} about 2 minutes after the loss: verify again then; its --data or --config tells at once`,
    );
  }
  if (lacking !== undefined) {
    notes.push(`what gateways declare lost is not known in full: ${lacking}`);
  }
  if (mirrors.length > 0) {
    notes.push(
      `some losses are declared for one mirror only (${mirrors.join(', ')}): if that is the one that sends here, name it with --mirror`,
    );
  }
  if (leftOut > 0) {
    notes.push(
      `${counted(leftOut, 'entry', 'entries')} of ${GAPS} beyond the first ${LIMITS.auditDeclared} were not looked at`,
    );
  }
  return notes;
}

/** Another gateway id with records of the same incarnation: a former name of it, or a clone's. */
function otherName(expected: Expectation, { sources }: AuditReport): string | undefined {
  const { gateway, incarnation } = expected;
  return sources.find((one) => one.incarnation === incarnation && one.gateway !== gateway)?.gateway;
}

function printReport(
  context: CliContext,
  name: string,
  report: AuditReport,
  notes: readonly string[],
  json: boolean,
): void {
  if (json) {
    printLine(context, JSON.stringify({ mirror: name, notes, ...report }));
    return;
  }
  const [verdict = '', ...rest] = formatAudit(report).trimEnd().split('\n');
  printLine(context, paint(context, report.clean ? 'green' : 'red', `${name}: ${verdict}`));
  for (const line of rest) printLine(context, line);
  for (const note of notes) printLine(context, `note: ${note}`);
}
