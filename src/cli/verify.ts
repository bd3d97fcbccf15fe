import { Auditor } from '../mirror/audit.ts';
import type { AuditReport } from '../mirror/audit.ts';
import { formatAudit } from '../mirror/audit-text.ts';
import { GatelogError, messageOf } from '../errors.ts';
import type { Config, MirrorConfig } from '../agent/config-types.ts';
import { suggestion } from '../words.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { paint, printError, printLine } from './context.ts';
import { withFlags } from './flags.ts';
import { Interrupt } from './output.ts';
import { configOf } from './place.ts';
import { readExpectation, tellAuditor } from './verify-expect.ts';
import type { Expectation } from './verify-expect.ts';
import { auditKafka, auditLog, centralTopics } from './verify-sources.ts';

export interface VerifyOptions extends PlaceOptions {
  readonly kafka?: string | undefined;
  readonly gateway?: string | undefined;
  readonly mirror?: string | undefined;
  readonly log?: string | undefined;
  readonly topic?: readonly string[] | undefined;
  readonly json: boolean;
}

/** `gatelog verify`: exit code 1 when anything is missing, repeated or out of order. */
export async function verify(context: CliContext, options: VerifyOptions): Promise<void> {
  const { config: fromFile } = configOf(context, options);
  const { data, kafka, gateway } = options;
  const config = withFlags(fromFile, { data, kafka, gateway }, context.workingFolder);
  const interrupt = new Interrupt();
  try {
    for (const [name, mirror] of mirrorsToVerify(config, options)) {
      const report = await verifyMirror(context, { config, options, name, mirror, interrupt });
      if (report.records === 0) {
        printError(
          context,
          `warning: ${name}: no record there carries an identity: nothing to judge`,
        );
      }
      printReport(context, name, report, options.json);
      if (!report.clean) context.exitCode = 1;
    }
  } finally {
    interrupt.release();
  }
}

interface Task {
  readonly config: Config;
  readonly options: VerifyOptions;
  readonly name: string;
  readonly mirror: MirrorConfig | undefined;
  readonly interrupt: Interrupt;
}

/** Those of the configuration, or the one asked for. With `--log` a mirror is only a name. */
function mirrorsToVerify(
  config: Config,
  options: VerifyOptions,
): [string, MirrorConfig | undefined][] {
  const { mirror: wanted, log } = options;
  const all = Object.entries(config.mirrors);
  const named = all.filter(([name]) => wanted === undefined || name === wanted);
  if (wanted !== undefined && named.length === 0 && log === undefined) {
    const known = all.map(([name]) => name);
    const message = `there is no mirror "${wanted}" in the configuration${suggestion(wanted, known)}`;
    throw new GatelogError('NOT_FOUND', message);
  }
  if (log !== undefined) {
    const toMqtt = named.find(([, { upstream }]) => upstream.kind === 'mqtt');
    return [toMqtt ?? [wanted ?? 'central', undefined]];
  }
  const kafka = named.filter(([, { upstream }]) => upstream.kind === 'kafka');
  if (kafka.length > 0) return kafka;
  const mqtt = named[0]?.[0];
  const message =
    mqtt === undefined
      ? 'verify what? Name a cluster with --kafka, a configuration with --config, or a central data folder with --log'
      : `mirror "${mqtt}" sends to an MQTT broker, which keeps no log to read; if that is a gatelog agent, name its data folder with --log`;
  throw new GatelogError('USAGE', message);
}

async function verifyMirror(context: CliContext, task: Task): Promise<AuditReport> {
  const { config, options, mirror, interrupt } = task;
  const auditor = new Auditor();
  const expected = await expectationOf(context, task);
  if (expected !== undefined) tellAuditor(auditor, expected);
  const { signal } = interrupt;
  if (options.log !== undefined) {
    await auditLog(context, options.log, options.topic, auditor, signal);
  } else if (mirror?.upstream.kind === 'kafka') {
    const known = expected?.topics ?? configuredTopics(config);
    const topics = options.topic ?? centralTopics(config, mirror, mirror.upstream, known);
    await auditKafka(context, mirror.upstream, topics, auditor, signal);
  }
  if (signal.aborted) {
    throw new GatelogError('VERIFY_FAILED', 'interrupted: part of the records were not read');
  }
  return auditor.report();
}

/** Only what a person pointed at: `--data`, or the folder of the `--config` if it is here. */
async function expectationOf(context: CliContext, task: Task): Promise<Expectation | undefined> {
  const { config, options, name, mirror } = task;
  if (options.data === undefined && options.config === undefined) return undefined;
  const patterns = mirror?.topics ?? ['*'];
  const { data: folder, gateway } = config;
  try {
    return await readExpectation(context, { folder, gateway, mirror: name, patterns });
  } catch (error) {
    const isAbsent = error instanceof GatelogError && error.code === 'NOT_FOUND';
    if (!isAbsent || options.data !== undefined) throw error;
    printError(
      context,
      `warning: ${messageOf(error)}; without it records missing at either end can't be seen`,
    );
    return undefined;
  }
}

function configuredTopics(config: Config): Set<string> {
  return new Set([...Object.keys(config.topics), ...config.routes.map(({ topic }) => topic)]);
}

function printReport(context: CliContext, name: string, report: AuditReport, json: boolean): void {
  if (json) {
    printLine(context, JSON.stringify({ mirror: name, ...report }));
    return;
  }
  const [verdict = '', ...rest] = formatAudit(report).trimEnd().split('\n');
  printLine(context, paint(context, report.clean ? 'green' : 'red', `${name}: ${verdict}`));
  for (const line of rest) printLine(context, line);
}
