import { writeFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Command, commandModel } from '../../deploy/package/command-model.ts';
import { DebianCell } from '../support/debian-root.ts';
import { putPackage, SUITES } from './built-packages.ts';

/** What the package brings for bash, zsh and fish, found and used by Debian's own shells as a person types. */
const program = commandModel('1.2.3');

/** Of a home of its own. The command itself is not run: what it is called with is what was completed. */
const CALLED = `stty cols 250 rows 300\ngatelog() { echo "called <$*>"; }\n`;
const RC = {
  bash: `. /usr/share/bash-completion/bash_completion\n${CALLED}`,
  zsh: `autoload -Uz compinit && compinit -u -D\n${CALLED}`,
} as const;
type Typed = keyof typeof RC;
/** How often until all that is possible is listed. */
const TABS: Record<Typed, string> = { bash: '\t\t', zsh: '\t' };

function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function wordsOf({ path }: Command): string {
  return path.join(' ');
}

function optionsOf({ options }: Command): string[] {
  return options.filter(({ isPositional }) => !isPositional).map(({ name }) => `--${name}`);
}

/** yargs knows no option of `completion`, nor do the shells. */
const WITH_OPTIONS = everyCommand(program).filter((command) => optionsOf(command).length > 0);
const WITH_COMMANDS = everyCommand(program).filter(({ commands }) => commands.length > 0);

/** [what was typed, what has to be called] */
const ONE_WAY = [
  ['gatelog mirr\tpau\tcentral --to\tplant', 'mirror pause central --topic plant'],
  ['gatelog acl che\tpress-1 subs\t', 'acl check press-1 subscribe'],
  ['gatelog consume --par\t3', 'consume --partition 3'],
  ['gatelog init --acl ow\t', 'init --acl own'],
  ['gatelog consume mirror --lim\t7', 'consume mirror --limit 7'],
  ['gatelog run --config /etc/gatelog/gate\t', 'run --config /etc/gatelog/gatelog.yaml'],
] as const;

describe.each(SUITES)('%s', (suite) => {
  let cell: DebianCell;

  beforeAll(async () => {
    cell = await DebianCell.make({ suite, include: ['bash-completion', 'fish', 'zsh'] });
    const file = await putPackage(cell.path('tmp'), { architecture: 'amd64' });
    // Nothing that it depends on is there, nor needed: its files are.
    await cell.check(['dpkg', '--force-unsafe-io', '--unpack', `/tmp/${file}`], 180_000);
    await cell.check(['mv', '/etc/gatelog/gatelog.yaml.dpkg-new', '/etc/gatelog/gatelog.yaml']);
    for (const [shell, text] of Object.entries(RC)) {
      writeFileSync(cell.path(`root/.${shell}rc`), text);
    }
  });
  afterAll(async () => {
    await cell?.remove();
  });

  /** What a shell on a terminal shows for each line, its call at the end included. */
  async function shown(shell: Typed, lines: readonly string[]): Promise<string[]> {
    // The terminal echoes what is typed before the shell reads it; that is before the first call's end.
    writeFileSync(cell.path('tmp/typed'), `${['gatelog', ...lines, 'exit'].join('\n')}\n`);
    const script = `TERM=dumb script -qec '${shell} -i' /dev/null < /tmp/typed`;
    const { stdout } = await cell.check(['sh', '-c', script], 120_000);
    return stdout.split(/(?<=called <[^>\n]*>)/u).slice(1, -1);
  }

  describe.each(['bash', 'zsh'] as const)('%s', (shell) => {
    test('completes commands, options, choices and files', async () => {
      const said = await shown(
        shell,
        ONE_WAY.map(([typed]) => typed),
      );
      const calls = said.map((text) => /called <([^>]*)>/u.exec(text)?.[1]?.trim());
      expect(calls).toEqual(ONE_WAY.map(([, called]) => called));
    });

    test('lists all options of each command, and all commands below it', async () => {
      const lines = [
        ...WITH_OPTIONS.map((command) => `${wordsOf(command)} --${TABS[shell]}`),
        ...WITH_COMMANDS.map((command) => `${wordsOf(command)} ${TABS[shell]}`),
      ];
      const wanted = [
        ...WITH_OPTIONS.map(optionsOf),
        ...WITH_COMMANDS.map(({ commands }) => commands.map(({ path }) => path.at(-1) ?? '')),
      ];
      const said = await shown(shell, lines);
      expect(said).toHaveLength(lines.length);
      const missing = wanted.flatMap((names, index) =>
        names
          .filter((name) => !(said[index] ?? '').includes(name))
          .map((name) => [lines[index], name]),
      );
      expect(missing).toEqual([]);
    });
  });

  describe('fish', () => {
    /** Has a command that says what it would complete. */
    async function possible(line: string): Promise<string[]> {
      const { stdout } = await cell.check(['fish', '-c', `complete -C '${line}'`]);
      return stdout.split('\n').flatMap((row) => (row === '' ? [] : (row.split('\t')[0] ?? [])));
    }

    test('completes commands, options, choices and files', async () => {
      expect(await possible('gatelog mir')).toEqual(['mirror']);
      expect(await possible('gatelog acl check press-1 s')).toEqual(['subscribe']);
      expect(await possible('gatelog init --acl o')).toEqual(['open', 'own']);
      expect(await possible('gatelog run --config /etc/gatelog/gatelog.yaml')).toEqual([
        '/etc/gatelog/gatelog.yaml',
      ]);
    });

    test('a topic that is named as a command is none, nor is the command above', async () => {
      expect(await possible('gatelog consume mirror pau')).toEqual([]);
      expect(await possible('gatelog mirror status --')).toEqual(
        optionsOf(commandAt('mirror', 'status')).toSorted(),
      );
    });

    test('lists all options of each command, and all commands below it', async () => {
      for (const command of WITH_OPTIONS) {
        const found = await possible(`${wordsOf(command)} --`);
        expect(found).toEqual(optionsOf(command).toSorted());
      }
      for (const command of WITH_COMMANDS) {
        const names = command.commands.map(({ path }) => path.at(-1) ?? '');
        expect(await possible(`${wordsOf(command)} `)).toEqual(names.toSorted());
      }
    });
  });
});

function commandAt(...path: readonly string[]): Command {
  const found = everyCommand(program).find(
    (command) => wordsOf(command) === `gatelog ${path.join(' ')}`,
  );
  if (found === undefined) throw new Error(`no command ${path.join(' ')}`);
  return found;
}
