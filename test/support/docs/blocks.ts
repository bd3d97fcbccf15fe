import { readdirSync, readFileSync } from 'node:fs';
import path from 'node:path';

/** The fenced blocks of the documents, for tests that hold them true. */
export interface Block {
  /** Relative to the repository. */
  readonly file: string;
  readonly line: number;
  readonly language: string;
  readonly text: string;
  /** Why it is not run by the tests, as the document itself says in the line before it. */
  readonly notRun: string | undefined;
  /** It changes the machine: it is run in a Debian of its own, as the document says in the line before it. */
  readonly inDebian: boolean;
}

const ROOT = path.join(import.meta.dirname, '../../..');
const NOT_RUN = /^\*Not run by the tests: (.+)\*$/u;
const IN_DEBIAN = /^\*Run in a Debian of its own by `npm run test:package`, .+\*$/u;

export function documents(): string[] {
  const inDocs = readdirSync(path.join(ROOT, 'docs')).filter((name) => name.endsWith('.md'));
  return ['README.md', ...inDocs.toSorted().map((name) => `docs/${name}`)];
}

export function textOf(file: string): string {
  return readFileSync(path.join(ROOT, file), 'utf8');
}

export function blocksOf(file: string): Block[] {
  const lines = textOf(file).split('\n');
  const blocks: Block[] = [];
  for (let at = 0; at < lines.length; at++) {
    const [, indent = '', language] = /^(\s*)```(\w+)$/u.exec(lines[at] ?? '') ?? [];
    if (language === undefined) continue;
    const end = lines.findIndex((line, index) => index > at && line === `${indent}\`\`\``);
    const text = lines.slice(at + 1, end).map((line) => line.slice(indent.length));
    const before = lines.slice(0, at).findLast((line) => line.trim() !== '') ?? '';
    const notRun = NOT_RUN.exec(before.trim())?.[1];
    const inDebian = IN_DEBIAN.test(before.trim());
    blocks.push({ file, line: at + 1, language, text: `${text.join('\n')}\n`, notRun, inDebian });
    at = end;
  }
  return blocks;
}

/** Commands that stand within the text, as in \`gatelog gaps --json\`. */
export function inlineCommands(file: string): string[] {
  const prose = textOf(file).replaceAll(/^(\s*)```[\s\S]*?^\1```$/gmu, '');
  return [...prose.matchAll(/`((?:npx )?gatelog [a-z][^`]*)`/gu)].map(([, command = '']) =>
    command.replace(/^npx /u, '').replaceAll(/\s+/gu, ' '),
  );
}
