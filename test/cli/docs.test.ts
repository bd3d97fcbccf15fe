import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { parseDocument } from 'yaml';
import yargs from 'yargs';
import { parseConfig } from '../../src/agent/config.ts';
import { parseAclFile } from '../../src/agent/config-acl-file.ts';
import { addCommands } from '../../src/cli/commands.ts';
import { LOSS_REASONS } from '../../src/loss.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';
import { type Block, blocksOf, documents, inlineCommands, textOf } from '../support/docs/blocks.ts';

/** What the documents show: configurations are good, commands exist, links lead somewhere. */
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-docs-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const CREDENTIALS = 'credentials';

/** Makes the files that the text refers to, so that it can be read. */
function load(text: string): ReturnType<typeof parseConfig> {
  for (const [, kind, name = ''] of text.matchAll(/\$\{(file|credential):([^}]+)\}/gu)) {
    const file = path.resolve(folder, kind === 'file' ? '.' : CREDENTIALS, name);
    if (!file.startsWith(folder)) continue;
    mkdirSync(path.dirname(file), { recursive: true });
    const pem = `-----BEGIN TEST-----\n${'x'.repeat(32)}\n`;
    writeFileSync(file, /\.(?:pem|crt|key)$|cert/u.test(name) ? pem : `${name.padEnd(32, 'x')}\n`);
  }
  const env = { CREDENTIALS_DIRECTORY: path.join(folder, CREDENTIALS) };
  return parseConfig(text, path.join(folder, 'gatelog.yaml'), { env, workingFolder: folder });
}

/** What has nothing but `acl` and `roles` is a file of rules. */
function warningsOf(text: string): readonly string[] {
  if (!/^(?:(?:acl|roles):.*\n(?: .*\n)+)+$/u.test(text)) return load(text).warnings;
  parseAclFile(text, 'rules.yaml', true);
  return [];
}

const all = documents().flatMap(blocksOf);
const placeOf = ({ file, line }: Block): string => `${file}:${line}`;
const configs = all.filter((block) => block.language === 'yaml' && block.notRun === undefined);

test.each(configs.map((block) => [placeOf(block), block] as const))(
  '%s is a good configuration, without a warning',
  (_, { text }) => {
    expect(warningsOf(text)).toEqual([]);
  },
);

test.each(
  all
    .filter(({ language, notRun }) => language === 'yaml' && notRun !== undefined)
    .map((block) => [placeOf(block), block] as const),
)('%s is not ours, and YAML at least', (_, { text, notRun }) => {
  expect(notRun).toMatch(/configuration; `test\/\S+` plays what it does/u);
  // ESPHome's `!secret` is its own.
  expect(parseDocument(text, { logLevel: 'error' }).errors).toEqual([]);
});

test('blocks have languages that somebody looks after', () => {
  const known = new Set(['sh', 'yaml', 'text', 'python', 'java', 'js', 'json', 'promql', 'ini']);
  expect(all.filter(({ language }) => !known.has(language)).map(placeOf)).toEqual([]);
  expect(configs.length).toBeGreaterThan(5);
});

test('no command for root leaves a pattern to a shell that can not look into the folder', () => {
  const lines = all
    .filter(({ language }) => language === 'sh')
    .flatMap((block) => block.text.split('\n').map((line) => `${placeOf(block)}: ${line}`));
  expect(lines.length).toBeGreaterThan(50);
  expect(lines.filter((line) => /sudo [^'"|]*\*/u.test(line))).toEqual([]);
});

describe('commands in the text', () => {
  const commands = documents().flatMap((file) =>
    inlineCommands(file).map((command): [string, string] => [command, file]),
  );
  test.each([...new Map(commands)])('%s (%s)', async (command) => {
    const words = command.split(' ').slice(1);
    const end = words.findIndex((word) => /^[-A-Z<"'…]|[./|]/u.test(word));
    const names = (end < 0 ? words : words.slice(0, end)).slice(0, 2);
    const help = await helpOf(names.slice(0, 1));
    expect(help, `gatelog ${String(names[0])}`).toMatch(
      new RegExp(`^gatelog ${String(names[0])}\\b`, 'mu'),
    );
    const below = await helpOf(names);
    for (const [, option] of command.matchAll(/(?<=\s)(--[a-z][a-z-]*)/gu)) {
      expect(`${below}\n--help`).toContain(option);
    }
  });
});

/** As `gatelog NAMES --help` prints it. */
function helpOf(names: readonly string[]): Promise<string> {
  const parser = yargs([...names])
    .scriptName('gatelog')
    .locale('en')
    .exitProcess(false);
  return addCommands(parser.wrap(200), PLAIN_CONTEXT).getHelp();
}

test('every file and heading that a document links to is there', () => {
  const missing = documents().flatMap((file) =>
    [...textOf(file).matchAll(/\]\((?!https?:|mailto:)([^)#\s]*)(?:#([^)\s]+))?\)/gu)]
      .filter(([, target = '', heading]) => !isThere(file, target, heading))
      .map(([link]) => `${file} → ${link}`),
  );
  expect(missing).toEqual([]);
});

function isThere(file: string, target: string, heading: string | undefined): boolean {
  const found = target === '' ? file : path.join(path.dirname(file), target);
  if (!existsSync(path.join(import.meta.dirname, '../..', found))) return false;
  return heading === undefined || headingsOf(found).has(heading);
}

/** As GitHub makes anchors of them. */
function headingsOf(file: string): Set<string> {
  return new Set(
    [...textOf(file).matchAll(/^#+ (.+)$/gmu)].map(([, title = '']) =>
      title
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

test('troubleshooting has every reason of a loss and every state of a mirror in trouble', () => {
  const text = textOf('docs/troubleshooting.md');
  const states = ['backing off', 'refused', 'halted', 'over budget', 'metered', 'stopped'];
  const left = [...LOSS_REASONS, ...states].filter((word) => !text.includes(`\`${word}\``));
  expect(left).toEqual([]);
});

test('the index names every document', () => {
  const index = textOf('docs/README.md');
  const left = documents()
    .filter((file) => file.startsWith('docs/') && file !== 'docs/README.md')
    .filter((file) => !index.includes(`(${path.basename(file)})`));
  expect(left).toEqual([]);
});
