import { readFileSync } from 'node:fs';
import path from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import { configSchema } from '../../../src/agent/config-schema.ts';
import { type ConfigOption, optionsOf } from './config-options.ts';
import { type OptionWords, wordsIn } from './config-words.ts';

/**
 * docs/reference.md: every option of the schema with what it takes and its default, and in words what
 * config/gatelog.yaml says of it. A test holds the file to this.
 */
const ROOT = path.join(import.meta.dirname, '../../..');
export const REFERENCE: string = path.join(ROOT, 'docs/reference.md');
const FREE: ReadonlySet<string> = new Set(['topics', 'mirrors', 'mqtt.roles']);

const HEAD = `# Configuration reference

Made from the schema that checks the file, and from [config/gatelog.yaml](../config/gatelog.yaml), which has the same
as one file to copy from; \`npm run docs:reference\` makes it anew. A key like \`mirrors.*.kafka.brokers\` has a name of
your choice at \`*\`, and \`[]\` is an item of a list.

- **Sizes**: \`64MiB\`, \`1GiB\` (1024) or \`5MB\` (1000); a bare number is bytes. **Durations**: \`500ms\`, \`30s\`, \`5m\`, \`12h\`,
  \`7d\`, \`2w\`; the unit must be written.
- **Secrets**: \`\${file:PATH}\` is a file's text without its last line end, PATH relative to the configuration;
  \`\${NAME}\` or \`\${env:NAME}\` is an environment variable, \`\${NAME:-DEFAULT}\` has a default for one that
  is missing or empty; \`$\${\` is a plain \`\${\`. What came from them is never printed.
- No file is needed, and no option. \`gatelog config check FILE\` lists everything that is wrong with one, with its place.
`;

export function referenceText(): string {
  const reference = readFileSync(path.join(ROOT, 'config/gatelog.yaml'), 'utf8');
  const words = wordsIn(reference, FREE);
  const options = unique(optionsOf(configSchema)).filter(({ key }) => !key.endsWith('.*'));
  const sections = Map.groupBy(options, ({ key }) => sectionOf(key));
  const parts = [...sections].map(([section, some]) =>
    [`## ${section}`, ...some.map((option) => entryOf(option, words.get(option.key)))].join('\n\n'),
  );
  return `${HEAD}\n${parts.join('\n\n')}\n`;
}

/** Those that two branches of a union have. */
function unique(options: readonly ConfigOption[]): ConfigOption[] {
  return [...new Map(options.map((option) => [option.key, option])).values()];
}

/** Mirrors are long: what kind of far side it is has a section of its own. */
function sectionOf(key: string): string {
  const [first = '', , third = ''] = key.split('.');
  if (first === 'mqtt') {
    const [, second = ''] = key.split('.');
    return SECTIONS_OF_MQTT.has(second) ? `mqtt.${second}` : 'mqtt';
  }
  if (FIRST_OF_ALL.includes(first)) return FIRST_OF_ALL.join(', ');
  if (first !== 'mirrors') return first;
  return ['kafka', 'mqtt', 'link'].includes(third) ? `mirrors.*.${third}` : 'mirrors';
}

const FIRST_OF_ALL = ['gateway', 'data', 'include'];
const SECTIONS_OF_MQTT = new Set(['limits', 'sessions', 'jwt', 'dedup']);

function entryOf(option: ConfigOption, words: OptionWords | undefined): string {
  const facts = [option.takes ?? 'a map of options', ...usualOf(option, words)];
  const head = `**\`${option.key}\`** · ${facts.join('; ')}`;
  const comment = paragraphs(words?.comment ?? '');
  return comment === '' ? head : `${head}\n\n${comment}`;
}

function usualOf({ usual, read, takes }: ConfigOption, words: OptionWords | undefined): string[] {
  const isPlain = takes !== undefined;
  if (usual === undefined) {
    const example = words?.value;
    return isPlain && example !== undefined ? [`for example \`${example}\``] : [];
  }
  const { value } = usual;
  if (Array.isArray(value) && value.length === 0) return ['default: none'];
  const isWritten = words?.value !== undefined && isDeepStrictEqual(read(words.plain), value);
  if (isWritten) return [`default: \`${words.value}\``];
  return isPlain && typeof value !== 'object' ? [`default: \`${JSON.stringify(value)}\``] : [];
}

/** Lines that are indented, as lists of choices, stay as they are. */
function paragraphs(comment: string): string {
  const blocks: { isList: boolean; lines: string[] }[] = [];
  for (const line of comment.split('\n')) {
    const text = line.replace(/^ /u, '');
    const isList = /^ {2}/u.test(text);
    const last = blocks.at(-1);
    if (last !== undefined && last.isList === isList && text !== '') last.lines.push(text);
    else blocks.push({ isList, lines: text === '' ? [] : [text] });
  }
  return blocks
    .filter(({ lines }) => lines.length > 0)
    .map(({ isList, lines }) => (isList ? fenced(lines) : escaped(lines.join(' '))))
    .join('\n\n');
}

function fenced(lines: readonly string[]): string {
  return ['```text', ...lines.map((line) => line.slice(2)), '```'].join('\n');
}

/** Stars and the like mean themselves. */
function escaped(text: string): string {
  return text.replaceAll(/[*_<>|]/gu, (sign) => `\\${sign}`);
}
