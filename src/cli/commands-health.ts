import type { Argv } from 'yargs';
import { JSON_LINES, withPlace } from './command-options.ts';
import type { CliContext } from './context.ts';

/** Grammar of the commands that look whether all is well. */
export function addDoctor(parser: Argv, context: CliContext): void {
  parser.command(
    'doctor',
    'Examine log, disk, machine, configuration and the way to upstreams, and say what to do',
    (command) =>
      withPlace(command)
        .option('json', JSON_LINES)
        .option('offline', {
          boolean: true,
          default: false,
          describe: 'Ask nothing of the network',
        })
        .example('$0 doctor --data /var/lib/gatelog', 'Exit code 0: healthy; 1: something is found')
        .example('$0 doctor --config gatelog.yaml', 'Configuration and upstreams, too')
        .epilogue(
          '! is a finding, and what to do about it; - is advice, which leaves the exit code at 0. It ' +
            'looks at a folder whether its agent runs or not, and changes nothing, here or upstream.',
        ),
    async (options) => {
      const { examine } = await import('./doctor.ts');
      await examine(context, options);
    },
  );
}

export function addSupportBundle(parser: Argv, context: CliContext): void {
  const file = { string: true, requiresArg: true } as const;
  parser.command(
    'support-bundle',
    'Put what somebody far away needs to help into one file, without secrets',
    (command) =>
      withPlace(command)
        .option('output', {
          ...file,
          alias: 'o',
          describe: 'The file [default: gatelog-support-GATEWAY-TIME.tar.gz here]',
        })
        .option('log', {
          ...file,
          describe: 'The agent’s log, where it is a file [default: the journal]',
        })
        .option('offline', {
          boolean: true,
          default: false,
          describe: 'Ask nothing of the network',
        })
        .option('force', {
          boolean: true,
          default: false,
          describe: 'Replace a file that is there',
        })
        .option('dry-run', {
          boolean: true,
          default: false,
          describe: 'Only say what would be in it',
        })
        .example(
          '$0 support-bundle --config /etc/gatelog/gatelog.yaml',
          'Whether its agent runs or not',
        )
        .epilogue(
          'It says what is in it before it is written, and never holds payloads, passwords, tokens or keys. ' +
            'Look through it before you send it.',
        ),
    async (options) => {
      const { makeBundle } = await import('./bundle/bundle.ts');
      await makeBundle(context, options);
    },
  );
}
