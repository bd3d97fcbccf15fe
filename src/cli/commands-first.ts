import type { Argv } from 'yargs';
import type { CliContext } from './context.ts';
import { INIT_ACLS, INIT_MECHANISMS } from './init/answers.ts';

/** Grammar of the first command there is. */
export function addInit(parser: Argv, context: CliContext): void {
  const text = { string: true, requiresArg: true } as const;
  parser.command(
    'init',
    'Write a configuration, by asking or by flags, after trying what it says',
    (command) =>
      withMqtt(withKafka(withDevices(command)))
        .option('config', { ...text, default: 'gatelog.yaml', describe: 'The file to write' })
        .option('password-stdin', {
          boolean: true,
          default: false,
          describe: 'Passwords from stdin: a line for each --user, then one for the far side',
        })
        .option('yes', {
          alias: 'y',
          boolean: true,
          default: false,
          describe: 'Ask nothing: what no flag says has its default',
        })
        .option('force', {
          boolean: true,
          default: false,
          describe: 'Replace a file that is there; the old one is kept beside it as FILE.old',
        })
        .option('test', {
          boolean: true,
          default: true,
          describe: 'Try addresses and the far side before anything is written; --no-test does not',
        })
        .example('$0 init', 'Asks, and writes gatelog.yaml here')
        .example(
          '$0 init --yes --listen mqtt://0.0.0.0:1883 --user press-1 --kafka kafka-1:9092',
          'For scripts; the password that is made is printed',
        )
        .epilogue(
          'Passwords never stand in the configuration: those of devices are hashed in `users`, that of ' +
            'Kafka or the MQTT broker lies in `secrets/`, beside it and for their owner alone (0600).',
        ),
    async (options) => {
      const { initialise } = await import('./init/init.ts');
      await initialise(context, options);
    },
  );
}

function withDevices<T>(parser: Argv<T>) {
  const text = { string: true, requiresArg: true } as const;
  return parser
    .option('gateway', {
      ...text,
      alias: 'gateway-id',
      describe: 'Id of this gateway, which no other one has [default: the host name]',
    })
    .option('data', { ...text, describe: 'Folder for the log [default: ./gatelog-data]' })
    .option('listen', {
      ...text,
      array: true,
      describe: 'Where devices connect; may be repeated [default: mqtt://127.0.0.1:1883]',
    })
    .option('cert', { ...text, describe: 'Certificate (PEM) for mqtts and wss' })
    .option('key', { ...text, describe: 'Its key (PEM)' })
    .option('user', {
      ...text,
      array: true,
      describe: 'Name that a device logs in with; may be repeated; a password is made',
    })
    .option('acl', {
      choices: INIT_ACLS,
      describe: 'own: a user has the topics NAME/… only; open: all have all [default: own]',
    })
    .option('allow-anonymous', {
      boolean: true,
      describe: 'Whoever reaches the addresses may publish and read',
    });
}

function withMqtt<T>(parser: Argv<T>) {
  const text = { string: true, requiresArg: true } as const;
  return parser
    .option('upstream', {
      ...text,
      describe: 'Mirror to this central gatelog or MQTT broker, as mqtts://HOST:PORT',
    })
    .option('upstream-ca', { ...text, describe: 'PEM file of its CA' })
    .option('upstream-user', { ...text, describe: 'User there' })
    .option('upstream-password-file', { ...text, describe: 'File with its password' });
}

function withKafka<T>(parser: Argv<T>) {
  const text = { string: true, requiresArg: true } as const;
  return parser
    .option('kafka', { ...text, describe: 'Mirror to this cluster, as HOST:PORT,HOST:PORT' })
    .option('kafka-tls', { boolean: true, describe: 'Over TLS' })
    .option('kafka-ca', { ...text, describe: 'PEM file of its CA; over TLS, then' })
    .option('kafka-user', { ...text, describe: 'User there' })
    .option('kafka-mechanism', {
      choices: INIT_MECHANISMS,
      describe: 'How it logs in [default: SCRAM-SHA-512]',
    })
    .option('kafka-password-file', { ...text, describe: 'File with its password' });
}
