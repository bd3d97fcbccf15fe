import { ControlClient } from '../admin/control-client.ts';
import type { ReloadStatus } from '../admin/reload-status.ts';
import { GatelogError } from '../errors.ts';
import { accessTroubles } from './access-lines.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { paint, printError, printLine } from './context.ts';
import { dataFolderOf } from './place.ts';

/**
 * `gatelog reload`: has a running agent take what changed. Throws CONFIG_INVALID, with everything that is
 * wrong, when it took nothing.
 */
export async function reloadAgent(
  context: CliContext,
  options: PlaceOptions & { readonly json: boolean },
): Promise<void> {
  const client = new ControlClient(dataFolderOf(context, options));
  const report = await client.reload();
  if (options.json) printLine(context, JSON.stringify(report));
  if (report.refused !== null) {
    throw new GatelogError(
      'CONFIG_INVALID',
      `${report.refused}\nnothing of it was taken: the agent goes on as before`,
    );
  }
  for (const { text } of accessTroubles(await client.status())) printError(context, text);
  if (options.json) return;
  const { applied } = report;
  if (applied.length > 0) printLine(context, `changed: ${applied.join(', ')}`);
  const left = restartText(report);
  if (left !== undefined) printLine(context, paint(context, 'yellow', left));
  if (applied.length === 0 && left === undefined) {
    printLine(
      context,
      'nothing changed in the configuration; certificates, users and rules were looked at',
    );
  }
}

/** What of a reload there is still to do; undefined: nothing. */
export function restartText({
  needsRestart,
}: Pick<ReloadStatus, 'needsRestart'>): string | undefined {
  return needsRestart.length === 0 ? undefined : `needs a restart: ${needsRestart.join(', ')}`;
}
