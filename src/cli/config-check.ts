import { loadConfig } from '../agent/config.ts';
import { GatelogError } from '../errors.ts';
import { counted } from '../words.ts';
import type { CliContext } from './context.ts';
import { paint, printError, printLine } from './context.ts';

/** `gatelog config check FILE`: says whether the file is good, and every place where it is not. */
export function checkConfig(context: CliContext, file: string | undefined): void {
  if (file === undefined) {
    throw new GatelogError('USAGE', 'which file? Say gatelog config check FILE');
  }
  const { config, warnings } = loadConfig(file, {
    env: context.env,
    workingFolder: context.workingFolder,
  });
  for (const warning of warnings) printError(context, `warning: ${warning}`);
  const parts = [
    counted(Object.keys(config.topics).length, 'topic'),
    counted(config.routes.length, 'route'),
    counted(Object.keys(config.mirrors).length, 'mirror'),
  ];
  const verdict =
    warnings.length === 0 ? 'good' : `good, with ${counted(warnings.length, 'warning')}`;
  printLine(context, `${file}: ${paint(context, 'green', verdict)} (${parts.join(', ')})`);
}
