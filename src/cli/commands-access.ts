import type { Argv } from 'yargs';
import { CONFIG } from './command-options.ts';
import type { CliContext } from './context.ts';
import type { UserOptions } from './user.ts';

const NAME = { type: 'string', demandOption: true, describe: 'User name' } as const;
const PASSWORD_STDIN = {
  boolean: true,
  default: false,
  describe: 'Take the password from the first line of stdin instead of asking for it',
} as const;

/** Grammar of the commands about who may do what. */
export function addUser(parser: Argv, context: CliContext): void {
  parser.command('user', 'Keep the file of users (mqtt.usersFile)', (command) =>
    addChanges(command, context)
      .command(
        'list',
        'List the names in the file',
        (list) => withUsersFile(list).example('$0 user list --file users', 'One a line'),
        async (options) => {
          const { listUsers } = await import('./user.ts');
          await listUsers(context, options);
        },
      )
      .demandCommand(1, 'what about the users? Say gatelog user --help')
      .epilogue(
        'A running agent takes what has changed within a minute, and at once on SIGHUP ' +
          '(systemctl reload); who is removed or has another password is disconnected. A password ' +
          'file of Mosquitto is one, too.',
      ),
  );
}

export function addAcl(parser: Argv, context: CliContext): void {
  parser.command('acl', 'Ask the rules of mqtt.acl', (command) =>
    command
      .command(
        'check <user> <action> <topic>',
        'May this user publish or subscribe to this topic, and which rule says so?',
        (check) =>
          check
            .positional('user', NAME)
            .positional('action', {
              choices: ['publish', 'subscribe'] as const,
              demandOption: true,
              describe: 'What it wants to do',
            })
            .positional('topic', {
              type: 'string',
              demandOption: true,
              describe: 'MQTT topic; to subscribe to, a filter as well',
            })
            .option('client', {
              string: true,
              requiresArg: true,
              describe: 'Client id, where rules ask for it (%c)',
            })
            .option('role', {
              string: true,
              array: true,
              nargs: 1,
              default: [] as string[],
              describe: 'A role that its token names (mqtt.jwt.roles)',
            })
            .option('config', { ...CONFIG, demandOption: true })
            .example(
              '$0 acl check press-1 publish plant/1 --config gatelog.yaml',
              'Exit code 0: yes; 1: no',
            ),
        async (options) => {
          const { checkAccess } = await import('./acl.ts');
          await checkAccess(context, { ...options, roles: options.role });
        },
      )
      .demandCommand(1, 'what about the rules? Say gatelog acl check --help'),
  );
}

function addChanges(parser: Argv, context: CliContext): Argv {
  return parser
    .command(
      'add <name>',
      'Add a user, and make the file where there is none',
      (add) =>
        withUsersFile(add)
          .positional('name', NAME)
          .option('password-stdin', PASSWORD_STDIN)
          .example('$0 user add press-1 --config gatelog.yaml', 'Asks for the password')
          .example('$0 user add press-1 --file users --password-stdin < secret', 'For scripts'),
      async (options) => {
        const { setPassword } = await import('./user.ts');
        await setPassword(context, 'add', options);
      },
    )
    .command(
      'passwd <name>',
      'Give a user another password',
      (passwd) =>
        withUsersFile(passwd).positional('name', NAME).option('password-stdin', PASSWORD_STDIN),
      async (options) => {
        const { setPassword } = await import('./user.ts');
        await setPassword(context, 'passwd', options);
      },
    )
    .command(
      'remove <name>',
      'Take a user out of the file',
      (remove) => withUsersFile(remove).positional('name', NAME),
      async (options) => {
        const { removeUser } = await import('./user.ts');
        await removeUser(context, options);
      },
    );
}

function withUsersFile<T>(parser: Argv<T>): Argv<T & UserOptions> {
  const file = {
    string: true,
    requiresArg: true,
    describe: 'The file of users [default: mqtt.usersFile of the configuration]',
  } as const;
  return parser.option('config', CONFIG).option('file', file) as Argv<T & UserOptions>;
}
