import { execFile } from 'node:child_process';
import { open, readdir, readFile, stat } from 'node:fs/promises';
import path from 'node:path';
import { GatelogError, messageOf, systemCodeOf } from '../../errors.ts';
import { isoTime } from '../../time.ts';
import type { CliContext } from '../context.ts';
import { jsonOf, reportLines } from '../doctor.ts';
import type { Examination } from '../doctor-examination.ts';
import { withAgentOrFolder } from '../folder.ts';
import { gathered, ledgerOf } from '../ledger.ts';
import { statusLines } from '../status.ts';
import { ControlClient } from '../../admin/control-client.ts';
import type { Scrubber } from './scrub.ts';

/** What a support bundle is made of, and bounds of it. */
export interface Part {
  readonly name: string;
  /** For the person who sends it. */
  readonly what: string;
  gather(): Promise<string>;
}

export interface PartSources {
  readonly context: CliContext;
  readonly data: string;
  readonly found: Examination;
  /** Options without secrets; undefined: no configuration was named, or it is not YAML. */
  readonly shownConfig: string | undefined;
  /** What is wrong with the configuration, if something is. */
  readonly configTrouble: string | undefined;
  /** The agent's log, where it is a file. */
  readonly log: string | undefined;
  readonly scrubber: Scrubber;
}

/** Beyond it a part keeps its end (logs) or its beginning. */
const PART_BYTES = 1_048_576;
const LOG_LINES = 5000;
const GAPS = 1000;
const FILES = 2000;

export function partsOf(sources: PartSources): Part[] {
  const { context, data, found, scrubber } = sources;
  const agent = found.facts?.agent;
  const json = (value: unknown): string => `${JSON.stringify(scrubber.json(value), null, 2)}\n`;
  const text = (lines: readonly string[]): string => scrubber.text(`${lines.join('\n')}\n`);
  return [
    {
      name: 'versions.json',
      what: 'gatelog, Node, libraries',
      gather: async () => json(await versions(context)),
    },
    {
      name: 'doctor.txt',
      what: 'what gatelog doctor says: disk, machine, clock, certificates, way upstream',
      gather: () => Promise.resolve(text(reportLines(context, found))),
    },
    {
      name: 'doctor.json',
      what: 'the same with all figures, and the status of the agent',
      gather: () => Promise.resolve(json(jsonOf(found))),
    },
    ...(agent === undefined
      ? []
      : [
          {
            name: 'status.txt',
            what: 'what gatelog status says: topics, mirrors, lag',
            gather: () => Promise.resolve(text(statusLines(context, agent))),
          },
        ]),
    {
      name: 'config.yaml',
      what: 'the configuration, without secrets and comments',
      gather: () => Promise.resolve(scrubber.text(configOf(sources))),
    },
    {
      name: 'gaps.jsonl',
      what: `the last ${GAPS} entries of the loss ledger`,
      gather: async () => scrubber.lines(await gaps(context, data)),
    },
    {
      name: 'files.txt',
      what: 'names, sizes and times of the files in the data folder',
      gather: async () => text(await listing(data)),
    },
    {
      name: 'log.txt',
      what: `the last ${LOG_LINES} lines of the agent's log, as far as it is known where they are`,
      gather: async () => scrubber.lines(await logLines(sources.log)),
    },
    {
      name: 'environment.txt',
      what: 'names of the variables that concern gatelog, without their values',
      gather: () => Promise.resolve(text(variables(context))),
    },
  ];
}

/** A part that can't be had says why; the others are as useful. */
export async function contentOf(part: Part, scrubber: Scrubber): Promise<string> {
  try {
    return bounded(await part.gather(), part.name === 'log.txt');
  } catch (error) {
    return scrubber.text(`it could not be had: ${messageOf(error)}\n`);
  }
}

function bounded(text: string, keepsEnd: boolean): string {
  const bytes = Buffer.from(text, 'utf8');
  if (bytes.length <= PART_BYTES) return text;
  const left = `(${bytes.length - PART_BYTES} bytes are left out)`;
  return keepsEnd
    ? `${left}\n${bytes.subarray(bytes.length - PART_BYTES).toString('utf8')}`
    : `${bytes.subarray(0, PART_BYTES).toString('utf8')}\n${left}\n`;
}

async function versions({ version }: CliContext): Promise<object> {
  const text = await readFile(new URL('../../../package.json', import.meta.url), 'utf8');
  const { dependencies } = JSON.parse(text) as { readonly dependencies?: unknown };
  return { gatelog: version, node: process.versions, dependencies };
}

function configOf({ shownConfig, configTrouble }: PartSources): string {
  const trouble =
    configTrouble === undefined ? '' : `# ${configTrouble.replaceAll('\n', '\n# ')}\n`;
  return `${trouble}${shownConfig ?? '# no configuration was named, or it is no YAML\n'}`;
}

async function gaps(context: CliContext, data: string): Promise<string> {
  const found = await withAgentOrFolder(
    context,
    data,
    () => gathered(new ControlClient(data).gaps(), () => true),
    (store) => gathered(ledgerOf(store), () => true),
  );
  found.sort((one, other) => (one.from < other.from ? -1 : 1));
  return found
    .slice(-GAPS)
    .map((gap) => `${JSON.stringify(gap)}\n`)
    .join('');
}

async function listing(data: string): Promise<string[]> {
  const names = await readdir(data, { recursive: true });
  const lines: string[] = [];
  for (const name of names.toSorted().slice(0, FILES)) {
    const found = await stat(path.join(data, name)).catch(() => undefined);
    if (found === undefined) continue;
    const mode = (found.mode & 0o777).toString(8);
    lines.push(`${mode} ${String(found.size).padStart(12)} ${isoTime(found.mtimeMs)} ${name}`);
  }
  if (names.length > FILES) lines.push(`(and ${names.length - FILES} more)`);
  return lines;
}

async function logLines(file: string | undefined): Promise<string> {
  if (file !== undefined) return tail(file);
  const args = ['-u', 'gatelog', '-n', String(LOG_LINES), '--no-pager', '-o', 'short-iso-precise'];
  const options = { timeout: 20_000, maxBuffer: 64 * 1_048_576 } as const;
  return new Promise((resolve, reject) => {
    execFile('journalctl', args, options, (error, stdout) => {
      if (error === null) resolve(stdout);
      else if (systemCodeOf(error) === 'ENOENT') reject(noJournal());
      else reject(error);
    });
  });
}

function noJournal(): GatelogError {
  const message = 'there is no journal here; where the log is a file, name it with --log FILE';
  return new GatelogError('NOT_FOUND', message);
}

async function tail(file: string): Promise<string> {
  const handle = await open(file);
  try {
    const { size } = await handle.stat();
    const from = Math.max(0, size - PART_BYTES);
    const { buffer, bytesRead } = await handle.read(
      Buffer.alloc(size - from),
      0,
      size - from,
      from,
    );
    const lines = buffer.toString('utf8', 0, bytesRead).split('\n');
    // The first may begin in its middle.
    return lines
      .slice(from === 0 ? 0 : 1)
      .slice(-LOG_LINES)
      .join('\n');
  } finally {
    await handle.close();
  }
}

function variables({ env }: CliContext): string[] {
  return Object.keys(env)
    .filter((name) => /^(?:GATELOG|NODE|MALLOC|UV|SSL|TZ|LANG|LC)(?:_|$)/u.test(name))
    .toSorted();
}
