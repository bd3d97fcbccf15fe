import type { Argv } from 'yargs';
import { CONFIG, withPlace } from './command-options.ts';
import type { CliContext } from './context.ts';

/** Grammar of the commands that carry records to the centre without a link. */
export function addExport(parser: Argv, context: CliContext): void {
  parser.command(
    'export <mirror>',
    'Write what a mirror has not sent yet to files, to be carried to the centre',
    (command) =>
      withPlace(command)
        .positional('mirror', {
          type: 'string',
          demandOption: true,
          describe: 'Name of the mirror, which sends to Kafka exactly once',
        })
        .option('to', {
          string: true,
          requiresArg: true,
          demandOption: true,
          describe: 'Folder for the files, as on a USB stick',
        })
        .example(
          '$0 export central --to /media/usb/gw-7',
          'From a running agent or a stopped folder',
        )
        .epilogue(
          'Done again it adds what came since, also after it broke off. The mirror itself leaves out ' +
            'later what was imported at the centre meanwhile.',
        ),
    async (options) => {
      const { exportMirror } = await import('./export.ts');
      await exportMirror(context, options);
    },
  );
}

export function addImport(parser: Argv, context: CliContext): void {
  parser.command(
    'import <folder>',
    'Bring files of gatelog export into the central Kafka, each record exactly once',
    (command) =>
      command
        .positional('folder', {
          type: 'string',
          demandOption: true,
          describe: 'Folder with the files, of one gateway or of several',
        })
        .option('kafka', {
          string: true,
          requiresArg: true,
          describe: 'The cluster, as HOST:PORT,HOST:PORT',
        })
        .option('config', CONFIG)
        .option('mirror', {
          string: true,
          requiresArg: true,
          describe: 'Log in as this mirror of the configuration does',
        })
        .option('refused', {
          string: true,
          requiresArg: true,
          describe: 'List records that Kafka refuses in this file, and go on after them',
        })
        .option('check', {
          boolean: true,
          default: false,
          describe: 'Only look whether the files are whole',
        })
        .example('$0 import /media/usb/gw-7 --check', 'Are the copies whole?')
        .example('$0 import /media/usb/gw-7 --kafka kafka-1:9092', 'Bring them in')
        .epilogue(
          'What the centre has already is left out, so it may be done again at any time. Where brokers or ' +
            'the way to them fail for a moment it tries again, until nothing got through for two ' +
            'minutes. Records come under their gateway’s name and identity: gatelog verify counts them as any other.',
        ),
    async (options) => {
      const { importExports } = await import('./import.ts');
      await importExports(context, options);
    },
  );
}
