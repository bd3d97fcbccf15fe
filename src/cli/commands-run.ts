import type { Argv } from 'yargs';
import { JSON_LINES, withPlace } from './command-options.ts';
import type { CliContext } from './context.ts';

/** Grammar of what starts an agent and lets it take changes. */
export function addRun(parser: Argv, context: CliContext): void {
  parser.command(
    'run',
    'Run the agent until it is told to stop (SIGTERM or SIGINT; the end of its terminal)',
    (command) =>
      withPlace(command)
        .option('mqtt', {
          string: true,
          array: true,
          requiresArg: true,
          describe: 'Listen here, as mqtt://HOST:PORT; may be repeated; port 0 is any free one',
        })
        .option('allow-anonymous', {
          boolean: true,
          describe: 'Whoever reaches the addresses of --mqtt may connect without a user name',
        })
        .option('kafka', {
          string: true,
          requiresArg: true,
          describe: 'Mirror to this Kafka cluster, as HOST:PORT,HOST:PORT',
        })
        .option('http', {
          string: true,
          requiresArg: true,
          describe: 'Status and API here, as http://HOST:PORT, or off',
        })
        .option('gateway', {
          string: true,
          requiresArg: true,
          describe: 'Id of this gateway [default: the data folder’s, else the host name]',
        })
        .option('adopt', {
          boolean: true,
          default: false,
          describe: 'Take over a data folder of a gateway with another id: this one was renamed',
        })
        .example(
          '$0 run',
          'Everything that comes over MQTT on 127.0.0.1:1883 goes to ./gatelog-data',
        )
        .example('$0 run --kafka kafka-1:9092', 'The same, mirrored exactly once into Kafka')
        .example('$0 run --config /etc/gatelog/gatelog.yaml', 'What the file says')
        .example('$0 run --config gatelog.yaml --data /mnt/ssd', 'Flags override the file'),
    async (options) => {
      const { runAgent } = await import('./run.ts');
      await runAgent(context, options);
    },
  );
}

export function addReload(parser: Argv, context: CliContext): void {
  parser.command(
    'reload',
    'Have a running agent read its configuration, certificates, users and rules again',
    (command) =>
      withPlace(command)
        .option('json', JSON_LINES)
        .example('$0 reload --data /var/lib/gatelog', 'The same as systemctl reload gatelog')
        .epilogue(
          'Taken at once: log.level, mqtt.users, mqtt.acl, mqtt.roles, mqtt.ownTopics, mqtt.limits (but for ' +
            'inFlight), http, retention, onFull and priority of topics, and mirrors: those that changed begin anew, new ones begin, others go. What else ' +
            'changed is named and needs a restart. Exit code 78: something is wrong, and nothing was taken.',
        ),
    async (options) => {
      const { reloadAgent } = await import('./reload.ts');
      await reloadAgent(context, options);
    },
  );
}
