import type { Argv } from 'yargs';
import { JSON_LINES, withPlace } from './command-options.ts';
import type { CliContext } from './context.ts';

/** Grammar of the command that looks at many gateways. */
export function addFleet(parser: Argv, context: CliContext): void {
  const given = { string: true, requiresArg: true } as const;
  parser.command(
    'fleet',
    'Show how each gateway is, by what it told the centre of itself',
    (command) =>
      withPlace(command)
        .option('kafka', { ...given, describe: 'The Kafka cluster, as HOST:PORT,HOST:PORT' })
        .option('mirror', {
          ...given,
          describe: 'Read where this mirror of the configuration sends to',
        })
        .option('topic', {
          ...given,
          array: true,
          describe:
            'Central topic of _metrics; may be repeated [default: as the mirror names it, else _metrics]',
        })
        .option('since', {
          ...given,
          default: '1d',
          describe: 'How far back to look for gateways',
        })
        .option('watch', {
          alias: 'w',
          boolean: true,
          default: false,
          describe: 'Go on, and show it anew every 5 s',
        })
        .option('json', JSON_LINES)
        .example('$0 fleet --kafka kafka-1:9092', 'One line a gateway, and what is wrong there')
        .example('$0 fleet --config gatelog.yaml --watch', 'With the login of its mirror')
        .example('$0 fleet --config central.yaml', 'At a central gatelog: from its own log')
        .epilogue(
          'Read is the Kafka that is named or that a mirror of the configuration sends to; at a central ' +
            'gatelog (mqtt.central) that sends to no Kafka its own log, or that of --data. A gateway tells of ' +
            'itself where its configuration has metrics.interval. SEEN: how long ago. A gateway is late when ' +
            'it told nothing for three of its intervals. LOST: records, since its data folder was made; the ' +
            'last loss is from the topic _gaps.',
        ),
    async (options) => {
      const { showFleet } = await import('./fleet.ts');
      await showFleet(context, options);
    },
  );
}
