import type { Argv } from 'yargs';
import { JSON_LINES, withPlace } from './command-options.ts';
import type { CliContext } from './context.ts';

/** Grammar of the commands that start agents of their own, to show or to break. */
export function addRehearse(parser: Argv, context: CliContext): void {
  parser.command(
    'rehearse',
    'Break agents of its own on this box, and say whether the promises hold',
    (command) =>
      withPlace(command)
        .option('in', {
          string: true,
          requiresArg: true,
          describe:
            'Folder for the scratch folder, on the disk to rehearse [default: beside --data]',
        })
        .option('for', {
          string: true,
          requiresArg: true,
          describe: 'How long the faults go on, as 30s or 10m [default: 1m]',
        })
        .option('only', {
          string: true,
          array: true,
          requiresArg: true,
          describe: 'Only this exercise (kill, power, disk, clock or link); may be repeated',
        })
        .option('json', { ...JSON_LINES, describe: 'Print the report as one JSON object' })
        .example('$0 rehearse', 'A minute, beside ./gatelog-data, which is not touched')
        .example('$0 rehearse --in /mnt/ssd --for 10m', 'Ten minutes, on another disk')
        .epilogue(
          'Exit code 1 when a promise did not hold, 130 when it was interrupted (Ctrl-C) before it ' +
            'could tell. Nothing is left behind.',
        ),
    async (options) => {
      const { rehearse } = await import('./rehearse.ts');
      await rehearse(context, options);
    },
  );
}

export function addDemo(parser: Argv, context: CliContext): void {
  parser.command(
    'demo',
    'Show it all: sensors, an agent, a link that you can cut, a central',
    (command) =>
      command
        .option('data', {
          string: true,
          requiresArg: true,
          describe: 'Folder for the logs of both agents [default: ./gatelog-data/demo]',
        })
        .option('port', {
          number: true,
          requiresArg: true,
          default: 1883,
          describe: "Port of the edge agent's MQTT, or the next free one",
        })
        .option('kafka', {
          string: true,
          requiresArg: true,
          describe: 'Mirror to this Kafka cluster instead of a central, as HOST:PORT,HOST:PORT',
        })
        .option('for', {
          string: true,
          requiresArg: true,
          describe: 'End after this time, as 30s or 5m, with the verify report',
        })
        .example('$0 demo', 'Live view with keys; q ends it with a verify report')
        .example('$0 demo --for 30s', 'Half a minute; exit code 0 only if the report is clean')
        .example('$0 demo --kafka 127.0.0.1:9092', 'Into a real Kafka'),
    async (options) => {
      const { runDemo } = await import('./demo.ts');
      await runDemo(context, options);
    },
  );
}
