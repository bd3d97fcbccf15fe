import { open } from 'node:fs/promises';
import path from 'node:path';
import { defaultKafkaMirror } from '../agent/config-schema.ts';
import type { KafkaUpstreamConfig } from '../agent/config-types.ts';
import { kafkaConnection } from '../agent/mirrors.ts';
import { GatelogError } from '../errors.ts';
import { EXPORT_LIMITS } from '../export-limits.ts';
import { LIMITS } from '../limits.ts';
import type { BackoffLimits } from '../mirror/backoff.ts';
import { type ImportPlan, planImport } from '../mirror/file/import-plan.ts';
import { importFiles, type RefusedRecord } from '../mirror/file/import.ts';
import { MemoryValues } from '../mirror/file/memory-values.ts';
import { Pacer } from '../mirror/pacer.ts';
import { type Logger, silentLogger } from '../telemetry.ts';
import { holdProcess } from '../time.ts';
import { counted, suggestion } from '../words.ts';
import { type CliContext, type PlaceOptions, printError, printLine } from './context.ts';
import { brokersOf } from './flags.ts';
import { Interrupt } from './output.ts';
import { configOf } from './place.ts';

const BACKOFF: BackoffLimits = {
  firstMs: LIMITS.backoffFirstMs,
  maxMs: EXPORT_LIMITS.importBackoffMaxMs,
};

export interface ImportCommandOptions extends Pick<PlaceOptions, 'config'> {
  readonly folder: string;
  readonly kafka?: string | undefined;
  readonly mirror?: string | undefined;
  readonly check: boolean;
  readonly refused?: string | undefined;
}

/** `gatelog import`: files of `gatelog export` into the central Kafka, each record exactly once. */
export async function importExports(
  context: CliContext,
  options: ImportCommandOptions,
): Promise<void> {
  const folder = path.resolve(context.workingFolder, options.folder);
  const kafka = options.check ? undefined : centreOf(context, options);
  const interrupt = new Interrupt();
  const hold = holdProcess();
  try {
    const plans = await planImport(folder);
    if (plans.length === 0) {
      throw new GatelogError('NOT_FOUND', `there are no export files (*.gatelog) in ${folder}`);
    }
    for (const plan of plans) {
      printLine(context, contentText(plan));
      if (kafka === undefined) continue;
      const { sent, skipped } = await importPlan(context, options, plan, kafka, interrupt.signal);
      const had = skipped === 0 ? '' : `, ${counted(skipped, 'record')} there already`;
      printLine(context, `  imported: ${counted(sent, 'record')}${had}`);
    }
  } finally {
    interrupt.release();
    hold.cancel();
  }
}

function contentText({ origin, files, records, topics }: ImportPlan): string {
  const what = `${counted(records, 'record')} of ${counted(topics, 'topic')}`;
  return `gateway ${origin.gateway}, mirror ${origin.mirror}: ${what} in ${counted(files.length, 'file')}, all whole`;
}

async function importPlan(
  context: CliContext,
  { refused }: ImportCommandOptions,
  plan: ImportPlan,
  kafka: KafkaUpstreamConfig,
  signal: AbortSignal,
): Promise<{ readonly sent: number; readonly skipped: number }> {
  const { createKafkaUpstream } = await import('../mirror/kafka/kafka-upstream.ts');
  const { clock, random, workingFolder } = context;
  const { gateway, incarnation, mirror, target } = plan.origin;
  const upstream = createKafkaUpstream({
    ...kafkaConnection(kafka),
    ...target,
    gateway,
    incarnation,
    create: kafka.create,
    compression: kafka.compression,
    compressionLevel: kafka.compressionLevel,
    transactionTimeoutMs: kafka.transactionTimeoutMs,
    clusterId: kafka.clusterId,
    role: 'import',
    journal: new MemoryValues(),
    clock,
    logger: silentLogger,
  });
  const file = refused === undefined ? undefined : path.resolve(workingFolder, refused);
  return importFiles({
    plan,
    upstream,
    refused: (records) => keepRefused(file, records),
    pacer: new Pacer({ name: mirror, backoff: BACKOFF, clock, random, logger: waitsTo(context) }),
    clock,
    signal,
  });
}

/** What is waited for, on stderr. */
function waitsTo(context: CliContext): Logger {
  return { ...silentLogger, warn: (_fields, message) => printError(context, message) };
}

/** One line of JSON a record, on disk when it resolves. Throws without a file for them. */
async function keepRefused(
  file: string | undefined,
  records: readonly RefusedRecord[],
): Promise<void> {
  const [first] = records;
  if (first === undefined) return;
  if (file === undefined) {
    const { topic, partition, offset, reason } = first;
    throw new GatelogError(
      'UPSTREAM_REJECTED',
      `Kafka refuses record ${offset} of ${topic}/${partition}: ${reason}; raise its bound there, or pass over such records with --refused FILE, which lists them`,
    );
  }
  const handle = await open(file, 'a');
  try {
    await handle.writeFile(records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Throws USAGE and NOT_FOUND. */
function centreOf(context: CliContext, options: ImportCommandOptions): KafkaUpstreamConfig {
  if (options.kafka !== undefined) {
    return kafkaOf(defaultKafkaMirror(brokersOf(options.kafka)).upstream, '--kafka');
  }
  if (options.config === undefined) {
    const message =
      'import into what? Name a cluster with --kafka, or a configuration with --config';
    throw new GatelogError('USAGE', message);
  }
  const { mirrors } = configOf(context, options).config;
  const names = Object.keys(mirrors).filter((name) => mirrors[name]?.upstream.kind === 'kafka');
  const name = options.mirror ?? (names.length === 1 ? names[0] : undefined);
  if (name === undefined) {
    const message = `import as which mirror of the configuration? Name it with --mirror: ${names.join(', ')}`;
    throw new GatelogError('USAGE', message);
  }
  const mirror = mirrors[name];
  if (mirror !== undefined) return kafkaOf(mirror.upstream, `mirror ${name}`);
  const message = `there is no mirror "${name}" in the configuration${suggestion(name, names)}`;
  throw new GatelogError('NOT_FOUND', message);
}

function kafkaOf(
  upstream: { readonly kind: 'mqtt' } | KafkaUpstreamConfig,
  what: string,
): KafkaUpstreamConfig {
  if (upstream.kind === 'kafka') return upstream;
  throw new GatelogError('USAGE', `${what} does not send to Kafka: nothing can be imported there`);
}
