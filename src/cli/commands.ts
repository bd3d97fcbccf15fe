import type { Argv } from 'yargs';
import { CONFIG, JSON_LINES, withPlace } from './command-options.ts';
import { LOSS_REASONS } from '../loss.ts';
import { addAcl, addUser } from './commands-access.ts';
import { addExport, addImport } from './commands-carry.ts';
import { addInit } from './commands-first.ts';
import { addFleet } from './commands-fleet.ts';
import { addDoctor, addSupportBundle } from './commands-health.ts';
import { addReload, addRun } from './commands-run.ts';
import { addDemo, addRehearse } from './commands-trial.ts';
import type { CliContext } from './context.ts';

/** The grammar. What a command does stands in its own file, loaded when it is called. */
const MIRROR_NAME = {
  type: 'string',
  demandOption: true,
  describe: 'Name of the mirror',
} as const;

const MIRROR_TOPIC = {
  string: true,
  requiresArg: true,
  demandOption: true,
  describe: 'The topic',
} as const;

const MIRROR_FIGURES =
  'LAG: records that can still be sent, and LAG TIME the age of the oldest. MISSING: records that ' +
  'the log lost or dropped before they were sent, as met since the agent started and those yet to ' +
  'be met (gatelog gaps lists them). SENT and REJECTED (kept in _quarantine): since the agent ' +
  'started.';

export function addCommands(parser: Argv, context: CliContext): Argv {
  addInit(parser, context);
  addRun(parser, context);
  addReload(parser, context);
  addConfig(parser, context);
  addTopics(parser, context);
  addConsume(parser, context);
  addStatus(parser, context);
  addGaps(parser, context);
  addFleet(parser, context);
  addDoctor(parser, context);
  addSupportBundle(parser, context);
  addUser(parser, context);
  addAcl(parser, context);
  addMirror(parser, context);
  addVerify(parser, context);
  addExport(parser, context);
  addImport(parser, context);
  addRehearse(parser, context);
  addDemo(parser, context);
  return parser;
}

function addConfig(parser: Argv, context: CliContext): void {
  parser.command('config', 'Look at a configuration', (command) =>
    command
      .command(
        'check [file]',
        'Check a configuration file and list everything that is wrong with it',
        (check) =>
          check
            .positional('file', { type: 'string', describe: 'The file to check' })
            .option('config', { ...CONFIG, describe: 'The same as FILE' })
            .example('$0 config check gatelog.yaml', 'One line for every problem, with its place'),
        async (options) => {
          const { checkConfig } = await import('./config-check.ts');
          await checkConfig(context, options.file ?? options.config);
        },
      )
      .demandCommand(1, 'what about the configuration? Say gatelog config check FILE'),
  );
}

function addTopics(parser: Argv, context: CliContext): void {
  parser.command(
    'topics',
    'List the topics of a data folder: records, size on disk, retention',
    (command) =>
      withPlace(command)
        .option('json', JSON_LINES)
        .example('$0 topics', 'Those in ./gatelog-data, whether its agent runs or not'),
    async (options) => {
      const { listTopics } = await import('./topics.ts');
      await listTopics(context, options);
    },
  );
}

function addConsume(parser: Argv, context: CliContext): void {
  parser.command(
    'consume <topic>',
    'Print the records of a topic, from a running agent or a stopped folder',
    (command) =>
      withPlace(command)
        .positional('topic', { type: 'string', demandOption: true, describe: 'Name of the topic' })
        .option('partition', {
          number: true,
          requiresArg: true,
          describe: 'Only this partition [default: all]',
        })
        .option('from', {
          string: true,
          requiresArg: true,
          default: 'beginning',
          describe: 'Where to begin: beginning, end, an offset, or a time (ISO 8601)',
        })
        .option('follow', {
          alias: 'f',
          boolean: true,
          default: false,
          describe: 'Go on with what comes in; needs a running agent',
        })
        .option('limit', {
          number: true,
          requiresArg: true,
          describe: 'Stop after so many records',
        })
        .option('json', { ...JSON_LINES, describe: 'One JSON object a line' })
        .example('$0 consume telemetry --from end --follow', 'Watch what comes in')
        .example(
          '$0 consume telemetry --from 2026-11-22T08:00:00Z --limit 10',
          'Ten from a time on',
        )
        .example('$0 consume telemetry --json --partition 3 --from 1000', 'JSON lines, by offset')
        .epilogue(
          'Times are UTC. One that begins with ~ is an estimate: the clock was not to be trusted ' +
            'when the record came, and the true time was never learnt. Gaps go to stderr.',
        ),
    async (options) => {
      const { consume } = await import('./consume.ts');
      await consume(context, options);
    },
  );
}

function addStatus(parser: Argv, context: CliContext): void {
  parser.command(
    'status',
    'Show how a running agent is doing',
    (command) =>
      withPlace(command)
        .option('json', JSON_LINES)
        .option('watch', {
          alias: 'w',
          boolean: true,
          default: false,
          describe: 'Go on, and show it anew on one screen; with --json a line each time',
        })
        .option('interval', {
          string: true,
          requiresArg: true,
          default: '2s',
          describe: 'How often, with --watch',
        })
        .example(
          '$0 status --data /var/lib/gatelog',
          'What came in, disk, clock and wear, topics, mirrors and their lag',
        )
        .example('$0 status --watch', 'The same as it changes, with rates; q ends it')
        .epilogue(`${MIRROR_FIGURES} Times are UTC.`),
    async (options) => {
      if (options.watch) {
        const { watchStatus } = await import('./status-watch.ts');
        await watchStatus(context, options);
        return;
      }
      const { showStatus } = await import('./status.ts');
      await showStatus(context, options);
    },
  );
}

function addGaps(parser: Argv, context: CliContext): void {
  const filter = { string: true, requiresArg: true } as const;
  parser.command(
    'gaps',
    'Show the loss ledger: everything that will never be delivered, and why',
    (command) =>
      withPlace(command)
        .option('topic', { ...filter, describe: 'Only this topic' })
        .option('mirror', { ...filter, describe: 'Only what this mirror misses' })
        .option('reason', { ...filter, describe: `Only this reason: ${LOSS_REASONS.join(', ')}` })
        .option('since', { ...filter, describe: 'Only what was noted after this time (ISO 8601)' })
        .option('json', { ...JSON_LINES, describe: 'One JSON object a line' })
        .example('$0 gaps', 'Of ./gatelog-data, whether its agent runs or not')
        .example('$0 gaps --reason retention --since 2026-11-22', 'What retention dropped lately')
        .epilogue(
          'FOR: the mirror that misses the records, or all readers. OFFSETS -: they never had any ' +
            '(QoS 0 that could not be stored). What a person skipped or rewound is there too.',
        ),
    async (options) => {
      const { listGaps } = await import('./gaps.ts');
      await listGaps(context, options);
    },
  );
}

function addMirror(parser: Argv, context: CliContext): void {
  const topic = {
    string: true,
    requiresArg: true,
    describe: 'Only this topic [default: the mirror as a whole]',
  } as const;
  parser.command('mirror', 'Look at and steer the mirrors of a running agent', (command) => {
    command
      .command(
        'status [name]',
        'State, positions and lag',
        (status) =>
          withPlace(status)
            .positional('name', { type: 'string', describe: 'Only this mirror' })
            .option('json', JSON_LINES)
            .epilogue(MIRROR_FIGURES),
        async (options) => {
          const { showMirrors } = await import('./mirror.ts');
          await showMirrors(context, options);
        },
      )
      .command(
        'pause <name>',
        'Stop sending, keep the position',
        (pause) => withPlace(pause).positional('name', MIRROR_NAME).option('topic', topic),
        async (options) => {
          const { steerMirror } = await import('./mirror.ts');
          await steerMirror(context, 'pause', options);
        },
      )
      .command(
        'resume <name>',
        'Go on after a pause, or after a failure that was mended; topics paused alone stay so',
        (resume) => withPlace(resume).positional('name', MIRROR_NAME).option('topic', topic),
        async (options) => {
          const { steerMirror } = await import('./mirror.ts');
          await steerMirror(context, 'resume', options);
        },
      )
      .command(
        'forget <name>',
        'Let go of the position of a mirror that is not configured any more',
        (forget) => withPlace(forget).positional('name', MIRROR_NAME),
        async (options) => {
          const { forgetMirror } = await import('./mirror.ts');
          await forgetMirror(context, options);
        },
      );
    return addSkip(addSeek(command, context), context).demandCommand(
      1,
      'what about the mirrors? Say gatelog mirror --help',
    );
  });
}

function addSkip(parser: Argv, context: CliContext): Argv {
  return parser.command(
    'skip <name>',
    'Leave out the oldest records that were not sent; the loss ledger says which',
    (skip) =>
      withPlace(skip)
        .positional('name', MIRROR_NAME)
        .option('topic', MIRROR_TOPIC)
        .option('partition', {
          number: true,
          requiresArg: true,
          describe: 'The partition [default: the only one]',
        })
        .option('count', {
          number: true,
          requiresArg: true,
          default: 1,
          describe: 'Records to leave out',
        })
        .example('$0 mirror skip central --topic alarms --partition 0', 'The one that is stuck'),
    async (options) => {
      const { skipRecords } = await import('./mirror.ts');
      await skipRecords(context, options);
    },
  );
}

function addSeek(parser: Argv, context: CliContext): Argv {
  return parser.command(
    'seek <name>',
    'Move the position, to send again or to leave out',
    (seek) =>
      withPlace(seek)
        .positional('name', MIRROR_NAME)
        .option('topic', MIRROR_TOPIC)
        .option('partition', {
          number: true,
          requiresArg: true,
          describe: 'Only this partition [default: all]',
        })
        .option('to', {
          string: true,
          requiresArg: true,
          demandOption: true,
          describe: 'beginning, end, an offset, or a time (ISO 8601)',
        })
        .example('$0 mirror seek central --topic telemetry --to beginning', 'Send all again'),
    async (options) => {
      const { seekMirror } = await import('./mirror.ts');
      await seekMirror(context, options);
    },
  );
}

function addVerify(parser: Argv, context: CliContext): void {
  parser.command(
    'verify',
    'Read the central topics and report gaps, repeats and disorder',
    (command) =>
      withPlace(command)
        .option('kafka', {
          string: true,
          requiresArg: true,
          describe: 'Read this Kafka cluster, as HOST:PORT,HOST:PORT',
        })
        .option('gateway', {
          string: true,
          requiresArg: true,
          describe: 'Id of the gateway whose data folder is stopped [default: as for run]',
        })
        .option('mirror', {
          string: true,
          requiresArg: true,
          describe: 'Read where this mirror of the configuration sends to',
        })
        .option('log', {
          string: true,
          requiresArg: true,
          describe: 'Read the data folder of a central agent instead',
        })
        .option('topic', {
          string: true,
          array: true,
          requiresArg: true,
          describe: 'Central topic; may be repeated [default: as the mirror names them]',
        })
        .option('unordered', {
          string: true,
          array: true,
          requiresArg: true,
          describe:
            'Topic of the gateway that goes live first or newest first, or in part later; may be repeated ' +
            '[default: as the mirror’s configuration says]',
        })
        .option('json', JSON_LINES)
        .example('$0 verify --config gatelog.yaml', 'Every mirror of the configuration')
        .example('$0 verify --kafka kafka-1:9092 --topic telemetry', 'One topic of a cluster')
        .example('$0 verify --log /var/lib/gatelog-central', 'An embedded central')
        .epilogue(
          'Exit code 1 when there is any gap, repeat or disorder, or something can not be read. A gap ' +
            'that its gateway declares lost is none: by the topic _gaps at the centre, where the ' +
            'word of a loss arrives about 2 minutes after it, or by --data and --config at once.',
        ),
    async (options) => {
      const { verify } = await import('./verify.ts');
      await verify(context, options);
    },
  );
}
