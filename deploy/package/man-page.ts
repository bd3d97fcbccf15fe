import type { Command, Option } from './command-model.ts';

/** man(7) pages of the command line: one of the program, and one of each command with those below it. */
export interface ManPage {
  /** `gatelog-mirror.1` */
  readonly name: string;
  readonly text: string;
}

export interface ManFacts {
  readonly version: string;
  /** Of this version, as in `2026-11-27`. */
  readonly date: string;
  /** Exit codes and what they say, in their order. */
  readonly exitCodes: readonly (readonly [code: number, meaning: string])[];
}

export function manPages(program: Command, facts: ManFacts): ManPage[] {
  const own = { name: 'gatelog.1', text: programPage(program, facts) };
  return [own, ...program.commands.map((command) => commandPage(command, facts))];
}

function programPage(program: Command, facts: ManFacts): string {
  const commands = program.commands.flatMap((command) => [
    '.TP',
    `\\fB${escaped(pageName(command))}\\fR(1)`,
    escaped(sentence(command.summary)),
  ]);
  return page('gatelog', facts, [
    '.SH NAME',
    'gatelog \\- a Kafka\\-style log for the gateway',
    '.SH SYNOPSIS',
    '.B gatelog',
    '.I command',
    '[\\fIoptions\\fR]',
    '.SH DESCRIPTION',
    'Devices publish over MQTT; what they publish is appended to a durable partitioned log on this machine, ' +
      'acknowledged when it is on disk, and mirrored to a central Apache Kafka exactly once, over links that ' +
      'come and go.',
    '.PP',
    'Installed as a package it runs as the service',
    '.BR gatelog.service ,',
    'configured in',
    '.IR /etc/gatelog/gatelog.yaml .',
    'Commands that are given neither',
    '.B \\-\\-config',
    'nor',
    '.B \\-\\-data',
    'ask that agent; most of them as root.',
    '.SH COMMANDS',
    ...commands,
    '.SH OPTIONS',
    ...program.options.flatMap(optionLines),
    ...exampleLines(program),
    '.SH EXIT STATUS',
    ...facts.exitCodes.flatMap(([code, meaning]) => ['.TP', `.B ${code}`, escaped(meaning)]),
    '.SH ENVIRONMENT',
    ...program.notes.map((note) => escaped(note)),
    '.SH FILES',
    ...FILES.flatMap(([file, text]) => ['.TP', `.I ${escaped(file)}`, escaped(text)]),
    '.SH SEE ALSO',
    '.BR mosquitto_pub (1),',
    '.BR systemctl (1),',
    '.BR journalctl (1)',
  ]);
}

const FILES = [
  ['/etc/gatelog/gatelog.yaml', 'Configuration of the service.'],
  ['/usr/share/doc/gatelog/examples/gatelog.yaml', 'The reference: every option and its default.'],
  ['/etc/gatelog/users', 'Where gatelog user keeps users, once mqtt.usersFile names it.'],
  [
    '/etc/gatelog/credentials',
    'For files with passwords, each ${credential:FILE} in the configuration.',
  ],
  ['/var/lib/gatelog', 'The log, positions, and all else that the agent keeps.'],
] as const;

function commandPage(command: Command, facts: ManFacts): ManPage {
  const name = pageName(command);
  const lines = [
    '.SH NAME',
    `${escaped(name)} \\- ${escaped(lowered(command.summary))}`,
    '.SH SYNOPSIS',
    ...(command.commands.length === 0 ? [command] : command.commands).flatMap(synopsis),
    '.SH DESCRIPTION',
    escaped(sentence(command.summary)),
    ...command.notes.flatMap((note) => ['.PP', escaped(note)]),
    ...optionSection(command, '.SH OPTIONS'),
    ...exampleLines(command),
    ...(command.commands.length === 0 ? [] : ['.SH COMMANDS']),
    ...command.commands.flatMap((inner) => [
      `.SS ${escaped(inner.path.slice(1).join(' '))}`,
      escaped(sentence(inner.summary)),
      ...inner.notes.flatMap((note) => ['.PP', escaped(note)]),
      ...optionSection(inner, '.PP'),
      ...inner.examples.flatMap(example),
    ]),
    '.SH SEE ALSO',
    '.BR gatelog (1)',
  ];
  return { name: `${name}.1`, text: page(name, facts, lines) };
}

function page(name: string, { version, date }: ManFacts, lines: readonly string[]): string {
  const title = `.TH ${name.toUpperCase()} 1 ${date} "gatelog ${version}" "User Commands"`;
  return `${[title, ...lines].join('\n')}\n`;
}

function pageName(command: Command): string {
  return command.path.join('-');
}

function synopsis({ path, positionals, options }: Command): string[] {
  const words = positionals.map(({ name, isNeeded }) =>
    isNeeded ? `\\fI${escaped(name)}\\fR` : `[\\fI${escaped(name)}\\fR]`,
  );
  const needed = options.filter(({ isNeeded, isPositional }) => isNeeded && !isPositional);
  const flags = needed.map((option) => `${flagOf(option)} ${valueOf(option)}`);
  return [[`.B ${escaped(path.join(' '))}`], [...words, ...flags, '[\\fIoptions\\fR]'], ['.br']]
    .map((parts) => parts.join(' '))
    .filter((line) => line !== '');
}

function optionSection({ options }: Command, heading: string): string[] {
  return options.length === 0 ? [] : [heading, ...options.flatMap(optionLines)];
}

function optionLines(option: Option): string[] {
  const { isPositional, short, text, standard, choices, mayRepeat } = option;
  const names = isPositional
    ? `\\fI${escaped(option.name)}\\fR`
    : [...(short === undefined ? [] : [`\\fB\\-${short}\\fR`]), flagOf(option)].join(', ');
  const value = option.takesValue && !isPositional ? ` ${valueOf(option)}` : '';
  const more = [
    ...(choices.length === 0 ? [] : [`One of ${choices.join(', ')}.`]),
    ...(standard === undefined ? [] : [`Default: ${standard}.`]),
    ...(mayRepeat && !/\brepeated\b/u.test(text) ? ['May be repeated.'] : []),
  ];
  return ['.TP', `${names}${value}`, escaped([sentence(text), ...more].join(' '))];
}

function flagOf({ name }: Option): string {
  return `\\fB\\-\\-${escaped(name)}\\fR`;
}

function valueOf({ isNumber, choices }: Option): string {
  if (choices.length > 0) return `\\fI${escaped(choices.join('|'))}\\fR`;
  return isNumber ? '\\fINUMBER\\fR' : '\\fIVALUE\\fR';
}

function exampleLines({ examples }: Command): string[] {
  return examples.length === 0 ? [] : ['.SH EXAMPLES', ...examples.flatMap(example)];
}

function example({ call, text }: Command['examples'][number]): string[] {
  return ['.PP', escaped(sentence(text)), '.PP', '.RS 4', '.nf', escaped(call), '.fi', '.RE'];
}

function sentence(text: string): string {
  return /[.?!]\)?$/u.test(text) ? text : `${text}.`;
}

function lowered(text: string): string {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

/** Every hyphen as it is typed; nothing at the beginning of a line that would be a request. */
function escaped(text: string): string {
  return text
    .replaceAll('\\', '\\e')
    .replaceAll('-', '\\-')
    .replaceAll('’', '\\(cq')
    .split('\n')
    .map((line) => line.trim().replace(/^(?=[.'])/u, '\\&'))
    .join('\n.br\n');
}
