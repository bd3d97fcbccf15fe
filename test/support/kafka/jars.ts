import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { runProcess } from '../process.ts';

/** Kafka's jars: which version, where they are kept, and which of its main classes exists. */
export const ROOT: string = resolve(import.meta.dirname, '../../..');
export const CACHE: string = join(ROOT, '.cache', 'kafka');

const POM = join(import.meta.dirname, 'pom.xml');

function readVersion(): string {
  const found = /<kafka\.version>([^<]+)</.exec(readFileSync(POM, 'utf8'))?.[1];
  if (found === undefined) throw new Error(`${POM} names no kafka.version`);
  return found;
}

export const KAFKA_VERSION: string = readVersion();
const HOME: string = join(CACHE, KAFKA_VERSION);
export const LIB: string = join(HOME, 'lib');
/** Written last, holds the pom it was made from: an interrupted or older copy is not taken. */
const MARKER = join(HOME, 'complete.xml');

export function jarsPresent(): boolean {
  return existsSync(MARKER) && readFileSync(MARKER, 'utf8') === readFileSync(POM, 'utf8');
}

/** Fetches the jars once by Maven; a second try covers a broken connection. */
export async function fetchJars(say: (line: string) => void = () => {}): Promise<void> {
  if (jarsPresent()) return;
  say(`fetching Apache Kafka ${KAFKA_VERSION} (about 55 MB) by Maven into ${LIB}`);
  let said = '';
  for (let attempt = 1; attempt <= 2; attempt += 1) {
    rmSync(HOME, { recursive: true, force: true });
    mkdirSync(LIB, { recursive: true });
    const goal = ['-B', '-q', '-f', POM, 'dependency:copy-dependencies'];
    const result = await runProcess(
      { command: 'mvn', args: [...goal, '-DincludeScope=runtime', `-DoutputDirectory=${LIB}`] },
      300_000,
    );
    if (result.code === 0) {
      writeFileSync(MARKER, readFileSync(POM));
      return;
    }
    said = `${result.stdout}\n${result.stderr}`.trim();
    say(`fetching failed (try ${attempt} of 2)`);
  }
  throw new Error(`Maven could not fetch Kafka ${KAFKA_VERSION}:\n${said.slice(-4000)}`);
}

/** The class path in a stable order, which the JVM's class archive depends on. */
export function classPath(): string {
  const jars = readdirSync(LIB).filter((name) => name.endsWith('.jar'));
  return jars
    .toSorted()
    .map((name) => join(LIB, name))
    .join(':');
}

/** The classes that a broker loads, archived (JEP 350); see class-archive.ts. */
export const CLASS_ARCHIVE: string = join(HOME, 'broker.jsa');

/** Flags of every JVM of the tests. One that the archive does not fit goes on without it. */
export function quickJvm(): string[] {
  const flags = ['-XX:+UseSerialGC', '-XX:TieredStopAtLevel=1'];
  return existsSync(CLASS_ARCHIVE) ? [...flags, `-XX:SharedArchiveFile=${CLASS_ARCHIVE}`] : flags;
}

/** Main classes by the names they have had; the first that the jars hold is used. */
const MAIN_CLASSES = {
  broker: ['kafka.Kafka'],
  storage: ['kafka.tools.StorageTool', 'org.apache.kafka.tools.StorageTool'],
  consoleConsumer: [
    'org.apache.kafka.tools.consumer.ConsoleConsumer',
    'kafka.tools.ConsoleConsumer',
  ],
  dumpLogSegments: ['org.apache.kafka.tools.DumpLogSegments', 'kafka.tools.DumpLogSegments'],
  producerPerformance: ['org.apache.kafka.tools.ProducerPerformance'],
  consumerPerformance: ['org.apache.kafka.tools.ConsumerPerformance'],
} as const;

export type Tool = keyof typeof MAIN_CLASSES;

const found = new Map<Tool, string>();

/** A jar's directory of files stands uncompressed at its end; a name found there is in the jar. */
function jarHolds(jar: string, className: string): boolean {
  return readFileSync(jar).includes(`${className.replaceAll('.', '/')}.class`);
}

export function mainClass(tool: Tool): string {
  const known = found.get(tool);
  if (known !== undefined) return known;
  const jars = readdirSync(LIB)
    .filter((name) => /^kafka(_2\.13|-tools|-server)-\d/.test(name))
    .map((name) => join(LIB, name));
  const name = MAIN_CLASSES[tool].find((candidate) => jars.some((jar) => jarHolds(jar, candidate)));
  if (name === undefined) {
    throw new Error(`Kafka ${KAFKA_VERSION} has none of ${MAIN_CLASSES[tool].join(', ')}`);
  }
  found.set(tool, name);
  return name;
}
