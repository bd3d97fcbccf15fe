import type { Command, Option } from './command-model.ts';

/**
 * What shells complete, written out from the definitions: asking the program itself at each key takes a
 * second on a small board.
 */
export function bashCompletion(program: Command): string {
  const cases = everyCommand(program).map((command) => {
    const words = [
      ...command.commands.map(nameOf),
      ...flagsOf(command).map((flag) => `--${flag.name}`),
      ...positionalChoices(command),
    ];
    return `    ${quoted(rest(command))}) words=${quoted(words.join(' '))} ;;`;
  });
  const values = everyCommand(program).flatMap((command) =>
    flagsOf(command)
      .filter(({ choices }) => choices.length > 0)
      .map(
        ({ name, choices }) =>
          `    ${quoted(`${rest(command)} --${name}`)}) words=${quoted(choices.join(' '))} ;;`,
      ),
  );
  const all = everyCommand(program).map(rest);
  const taking = namesTaking(program);
  return `# bash completion of gatelog; made from its command line's definitions.
_gatelog() {
  local current=\${COMP_WORDS[COMP_CWORD]} last=\${COMP_WORDS[COMP_CWORD-1]} at= word words= i
  for ((i = 1; i < COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    case "|${all.join('|')}|" in *"|\${at:+$at }$word|"*) at=\${at:+$at }$word ;; esac
  done
  COMPREPLY=()
  case $at\\ $last in
${values.length === 0 ? '    "") ;;' : values.join('\n')}
  esac
  if [[ -n $words ]]; then
    mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
    return
  fi
  # Whatever else an option takes may be a file.
  case $last in ${taking.map((name) => `--${name}`).join('|')}) return ;; esac
  case $at in
${cases.join('\n')}
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o bashdefault -o default -F _gatelog gatelog
`;
}

export function zshCompletion(program: Command): string {
  const functions = everyCommand(program).map((command) => {
    const options = flagsOf(command).map(
      (flag) =>
        `    ${quoted(`${flag.mayRepeat ? '*' : ''}--${flag.name}[${zshText(flag.text)}]${zshValue(flag)}`)}`,
    );
    const positionals = command.options
      .filter(({ isPositional }) => isPositional)
      .map(({ name, choices }) => `    ${quoted(`:${name}:${zshAction(choices)}`)}`);
    const below = command.commands.length === 0 ? [] : [`    '1: :->command'`, `    '*:: :->rest'`];
    const lines = [...options, ...positionals, ...below].join(' \\\n');
    return `${functionOf(command)}() {
  local curcontext=$curcontext state line
  _arguments -C \\
${lines}
${command.commands.length === 0 ? '' : zshBelow(command)}}
`;
  });
  return `#compdef gatelog
# zsh completion of gatelog; made from its command line's definitions.
${functions.join('\n')}
_gatelog "$@"
`;
}

function zshBelow(command: Command): string {
  const described = command.commands.map(
    (inner) => `        ${quoted(`${nameOf(inner)}:${zshText(inner.summary)}`)}`,
  );
  const ways = command.commands.map((inner) => `        ${nameOf(inner)}) ${functionOf(inner)} ;;`);
  return `  case $state in
    command)
      local -a commands=(
${described.join('\n')}
      )
      _describe command commands
      ;;
    rest)
      case $line[1] in
${ways.join('\n')}
      esac
      ;;
  esac
`;
}

export function fishCompletion(program: Command): string {
  const commands = everyCommand(program);
  const lines = commands.flatMap((command) => {
    const when = `__gatelog_at ${rest(command)}`.trim();
    return [
      ...command.commands.map((inner) =>
        fishLine(when, ['-f', '-a', nameOf(inner)], inner.summary),
      ),
      ...positionalChoices(command).map((choice) => fishLine(when, ['-f', '-a', choice], '')),
      ...flagsOf(command).map((flag) => {
        const short = flag.short === undefined ? [] : ['-s', flag.short];
        const values =
          flag.choices.length === 0 ? [] : ['-f', '-a', quoted(flag.choices.join(' '))];
        const takes = flag.takesValue ? ['-r', ...values] : [];
        return fishLine(when, ['-l', flag.name, ...short, ...takes], flag.text);
      }),
    ];
  });
  const paths = commands.slice(1).map((command) => quoted(rest(command)));
  return `# fish completion of gatelog; made from its command line's definitions.
# fish's own __fish_seen_subcommand_from takes a topic that is named as a command for one.
function __gatelog_at -d 'Whether the words so far name this command'
    set -l at
    for word in (commandline -opc)[2..-1]
        set -l further (string trim -- "$at $word")
        contains -- "$further" ${paths.join(' ')}
        and set at $further
    end
    test "$at" = "$argv"
end
${lines.join('\n')}
`;
}

function fishLine(when: string, what: readonly string[], text: string): string {
  const described = text === '' ? [] : ['-d', `'${text.replaceAll(/['\\]/gu, String.raw`\$&`)}'`];
  return ['complete -c gatelog', '-n', `'${when}'`, ...what, ...described].join(' ');
}

/** The program first. */
function everyCommand(command: Command): Command[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

function nameOf({ path }: Command): string {
  return path.at(-1) ?? '';
}

/** Its words without the program's own. */
function rest({ path }: Command): string {
  return path.slice(1).join(' ');
}

function functionOf({ path }: Command): string {
  return `_${path.join('_')}`;
}

function flagsOf({ options }: Command): readonly Option[] {
  return options.filter(({ isPositional }) => !isPositional);
}

function positionalChoices({ options }: Command): string[] {
  return options.flatMap(({ isPositional, choices }) => (isPositional ? choices : []));
}

function namesTaking(program: Command): string[] {
  const flags = everyCommand(program).flatMap(flagsOf);
  const names = new Set(flags.filter(({ takesValue }) => takesValue).map(({ name }) => name));
  return [...names].toSorted();
}

function quoted(text: string): string {
  return `'${text.replaceAll("'", String.raw`'\''`)}'`;
}

function zshText(text: string): string {
  return text.replaceAll(/[[\]:\\]/gu, String.raw`\$&`);
}

function zshValue({ name, takesValue, choices }: Option): string {
  return takesValue ? `:${name}:${zshAction(choices)}` : '';
}

function zshAction(choices: readonly string[]): string {
  return choices.length === 0 ? '_files' : `(${choices.join(' ')})`;
}
