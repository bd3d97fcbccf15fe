import { beforeAll, describe, expect, test } from 'vitest';
import { type Command, commandModel } from '../../deploy/package/command-model.ts';
import { bashCompletion, fishCompletion, zshCompletion } from '../../deploy/package/completions.ts';
import { exitMeanings } from '../../deploy/package/exit-meanings.ts';
import { manPages } from '../../deploy/package/man-page.ts';
import { exitCodeOf } from '../../src/errors.ts';
import { runChecked } from '../support/process.ts';

/** The manual and the completions, made from the definitions that yargs has. */
let program: Command;
beforeAll(() => {
  program = commandModel('1.2.3');
});

function commandAt(...path: readonly string[]): Command {
  let at = program;
  for (const name of path) {
    const next = at.commands.find((command) => command.path.at(-1) === name);
    if (next === undefined) throw new Error(`no ${name} in ${at.path.join(' ')}`);
    at = next;
  }
  return at;
}

test('commands, below them too, with their words and options', () => {
  const skip = commandAt('mirror', 'skip');
  expect(skip.positionals).toEqual([{ name: 'name', isNeeded: true }]);
  expect(skip.options.map(({ name }) => name)).toContain('topic');
  const follow = commandAt('consume').options.find(({ name }) => name === 'follow');
  expect(follow).toMatchObject({ short: 'f', takesValue: false, standard: undefined });
  const from = commandAt('consume').options.find(({ name }) => name === 'from');
  expect(from).toMatchObject({ takesValue: true, standard: 'beginning' });
  const action = commandAt('acl', 'check').options.find(({ name }) => name === 'action');
  expect(action).toMatchObject({ isPositional: true, choices: ['publish', 'subscribe'] });
});

describe('the manual', () => {
  const facts = { version: '1.2.3', date: '2026-11-27', exitCodes: exitMeanings(exitCodeOf) };

  test('has a page of the program and one of each command', () => {
    const names = manPages(program, facts).map(({ name }) => name);
    expect(names).toContain('gatelog.1');
    for (const command of program.commands) expect(names).toContain(`${command.path.join('-')}.1`);
  });

  test('says every option, and that of inner commands', () => {
    const pages = new Map(manPages(program, facts).map(({ name, text }) => [name, text]));
    const named = (command: Command): string[] => [
      ...command.options.filter(({ isPositional }) => !isPositional).map(({ name }) => name),
      ...command.commands.flatMap(named),
    ];
    for (const command of program.commands) {
      const page = pages.get(`${command.path.join('-')}.1`);
      for (const name of named(command)) {
        expect(page).toContain(`\\-\\-${name.replaceAll('-', '\\-')}`);
      }
    }
    expect(pages.get('gatelog.1')).toMatch(/\.B 78\n/u);
  });

  test('no line of text is taken for a request', () => {
    const requests = /^\.(?:TH|SH|SS|TP|PP|B|BR|I|IR|RS|RE|nf|fi|br)\b/u;
    const lines = manPages(program, facts).flatMap(({ text }) => text.split('\n'));
    expect(lines.filter((line) => /^[.']/u.test(line) && !requests.test(line))).toEqual([]);
    expect(lines.length).toBeGreaterThan(500);
  });

  test('every exit code of an error has a meaning, but those that stand with another', () => {
    const known = facts.exitCodes.map(([code]) => code);
    const all = [0, 1, 64, 65, 66, 69, 70, 71, 72, 73, 74, 75, 76, 77, 78];
    expect(known).toEqual(expect.arrayContaining(all));
  });
});

describe('completion in bash', () => {
  async function completed(...words: readonly string[]): Promise<string[]> {
    const script = `${bashCompletion(program)}
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _gatelog; printf '%s\\n' "\${COMPREPLY[@]}"`;
    const args = ['--norc', '-c', script, 'bash', 'gatelog', ...words];
    const { stdout } = await runChecked({ command: '/bin/bash', args });
    return stdout.split('\n').filter((line) => line !== '');
  }

  test('commands, inner commands, options, choices', async () => {
    expect(await completed('mir')).toEqual(['mirror']);
    expect(await completed('mirror', '')).toEqual(expect.arrayContaining(['pause', 'seek']));
    expect(await completed('mirror', 'pause', 'central', '--to')).toEqual(['--topic']);
    expect(await completed('acl', 'check', 'press-1', 's')).toEqual(['subscribe']);
    expect(await completed('consume', '--par')).toEqual(['--partition']);
  });

  test('nothing of ours behind an option that takes a value: it may be a file', async () => {
    expect(await completed('consume', '--config', '')).toEqual([]);
  });

  test('a topic that is named as a command is none', async () => {
    expect(await completed('consume', 'mirror', '--lim')).toEqual(['--limit']);
  });
});

test('completions for zsh and fish name every command and option', () => {
  const zsh = zshCompletion(program);
  const fish = fishCompletion(program);
  const look = (command: Command): void => {
    expect(zsh).toContain(`\n_${command.path.join('_')}() {`);
    for (const { name, isPositional } of command.options) {
      if (isPositional) continue;
      expect(zsh).toContain(`--${name}[`);
      expect(fish).toContain(`-l ${name} `);
    }
    command.commands.forEach(look);
  };
  look(program);
});
