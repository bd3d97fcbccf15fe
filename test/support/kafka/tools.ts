import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Finished, runChecked } from '../process.ts';
import type { KafkaCluster } from './cluster.ts';
import { classPath, mainClass, quickJvm, type Tool } from './jars.ts';
import type { Listener } from './state.ts';

/**
 * The outside checks: Kafka's own command classes and kcat (librdkafka). None of them shares a
 * line of code with the product.
 */
/** Runs one of Kafka's command classes to its end; an exit code other than 0 rejects. */
export function runTool(
  tool: Tool,
  args: readonly string[],
  timeoutMs: number = 120_000,
): Promise<Finished> {
  const log = '-Dorg.slf4j.simpleLogger.defaultLogLevel=error';
  return runChecked(
    {
      command: 'java',
      args: [...quickJvm(), '-Xmx256m', log, '-cp', classPath(), mainClass(tool), ...args],
    },
    timeoutMs,
  );
}

export interface ConsumedRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly value: string | null;
  /** In their order, repeats kept. */
  readonly headers: readonly (readonly [name: string, value: string])[];
}

export interface ConsumeOptions {
  /** The consumer ends once nothing came for this long. */
  readonly idleMs?: number;
  readonly maxRecords?: number;
}

const FIELD = '\u001f';
const HEADER = '\u001e';
const RECORD = '\u001d\n';
const NONE = '\u0000';

/** A property file's escapes: control characters can't stand in the command line's options. */
function escaped(text: string): string {
  return Array.from(text, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`).join(
    '',
  );
}

const FORMATTER = [
  'print.partition=true',
  'print.offset=true',
  'print.headers=true',
  'print.key=true',
  'print.value=true',
  `key.separator=${escaped(FIELD)}`,
  `headers.separator=${escaped(HEADER)}`,
  `line.separator=${escaped(RECORD)}`,
  `null.literal=${escaped(NONE)}`,
];

function parseHeaders(text: string): [string, string][] {
  if (text === 'NO_HEADERS') return [];
  return text.split(HEADER).map((header) => {
    const colon = header.indexOf(':');
    return [header.slice(0, colon), header.slice(colon + 1)];
  });
}

function parseConsumed(text: string): ConsumedRecord {
  const [partition = '', offset = '', headers = '', key = '', value = ''] = text.split(FIELD);
  return {
    partition: Number(partition.replace('Partition:', '')),
    offset: Number(offset.replace('Offset:', '')),
    headers: parseHeaders(headers),
    key: key === NONE ? null : key,
    value: value === NONE ? null : value,
  };
}

/**
 * Kafka's ConsoleConsumer, from the beginning of the topic, read_committed unless told otherwise.
 * Keys, values and header values are text here; for bytes use `kcatConsume`.
 */
export async function consoleConsume(
  cluster: KafkaCluster,
  topic: string,
  options: ConsumeOptions = {},
): Promise<ConsumedRecord[]> {
  const folder = mkdtempSync(join(tmpdir(), 'gatelog-console-consumer-'));
  const formatter = join(folder, 'formatter.properties');
  writeFileSync(formatter, `${FORMATTER.join('\n')}\n`);
  try {
    const limit =
      options.maxRecords === undefined ? [] : ['--max-messages', `${options.maxRecords}`];
    const result = await runTool('consoleConsumer', [
      '--bootstrap-server',
      cluster.bootstrap('plaintext').join(','),
      '--topic',
      topic,
      '--from-beginning',
      '--formatter-config',
      formatter,
      '--isolation-level',
      'read_committed',
      '--timeout-ms',
      String(options.idleMs ?? 5000),
      ...limit,
    ]);
    return result.stdout
      .split(RECORD)
      .filter((text) => text.startsWith('Partition:'))
      .map(parseConsumed);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** The dump of every segment of one partition as node `id` has it on its disk. */
export async function dumpLogSegments(
  cluster: KafkaCluster,
  id: number,
  topic: string,
  partition: number,
  more: readonly string[] = ['--print-data-log'],
): Promise<string> {
  const folder = join(cluster.node(id).folder, 'data', `${topic}-${partition}`);
  const files = readdirSync(folder).filter((name) => name.endsWith('.log'));
  const list = files.toSorted().map((name) => join(folder, name));
  const { stdout } = await runTool('dumpLogSegments', ['--files', list.join(','), ...more]);
  return stdout;
}

/**
 * How kcat logs in on a SASL listener. Always by PLAIN: librdkafka before 2.6.1 (Debian 12 has
 * 2.0.2) sends a wrong nonce in SCRAM, which Kafka 4 refuses (librdkafka pull request 4895).
 */
export interface Login {
  readonly user: 'gw' | 'nobody';
}

/** librdkafka's settings for a listener, as kcat's arguments. */
export function kcatArguments(
  cluster: KafkaCluster,
  listener: Listener = 'plaintext',
  login: Login = { user: 'gw' },
): string[] {
  const { certificates, users } = cluster.state;
  const settings: string[] = [];
  if (listener === 'ssl') {
    settings.push('security.protocol=ssl', `ssl.ca.location=${certificates.ca}`);
    settings.push(`ssl.certificate.location=${certificates.clientCertificate}`);
    settings.push(`ssl.key.location=${certificates.clientKey}`);
  } else if (listener !== 'plaintext') {
    const protocol = listener === 'saslSsl' ? 'sasl_ssl' : 'sasl_plaintext';
    settings.push(`security.protocol=${protocol}`, `ssl.ca.location=${certificates.ca}`);
    const user = users[login.user];
    settings.push(
      'sasl.mechanisms=PLAIN',
      `sasl.username=${user.name}`,
      `sasl.password=${user.password}`,
    );
  }
  return ['-b', cluster.bootstrap(listener).join(','), ...settings.flatMap((line) => ['-X', line])];
}

/** Runs kcat to its end with the arguments for a listener before the given ones. */
export function kcat(
  cluster: KafkaCluster,
  args: readonly string[],
  input?: string | Buffer,
  listener?: Listener,
  login?: Login,
): Promise<Finished> {
  return runChecked(
    {
      command: 'kcat',
      args: [...kcatArguments(cluster, listener, login), ...args],
      ...(input === undefined ? {} : { input }),
    },
    120_000,
  );
}

/** Reads a topic (or one partition) from its beginning to its end with kcat, read_committed. */
export async function kcatConsume(
  cluster: KafkaCluster,
  topic: string,
  partition?: number,
  isolation: 'read_committed' | 'read_uncommitted' = 'read_committed',
): Promise<ConsumedRecord[]> {
  const where = partition === undefined ? [] : ['-p', String(partition)];
  const level = `isolation.level=${isolation}`;
  const how = ['-o', 'beginning', '-e', '-q', '-J', '-X', level];
  const result = await kcat(cluster, ['-C', '-t', topic, ...where, ...how]);
  return result.stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => parseKcat(line));
}

interface KcatRecord {
  readonly partition: number;
  readonly offset: number;
  readonly key: string | null;
  readonly payload: string | null;
  readonly headers?: readonly string[];
}

function parseKcat(line: string): ConsumedRecord {
  const { partition, offset, key, payload, headers = [] } = JSON.parse(line) as KcatRecord;
  const pairs: [string, string][] = [];
  for (let at = 0; at + 1 < headers.length; at += 2)
    pairs.push([headers[at] ?? '', headers[at + 1] ?? '']);
  return { partition, offset, key, value: payload, headers: pairs };
}
