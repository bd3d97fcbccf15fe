import path from 'node:path';
import { configFiles, loadConfig, parseConfig } from '../agent/config.ts';
import type { LoadedConfig, LoadSurroundings } from '../agent/config.ts';
import type { ConfigFile } from '../agent/config-include.ts';
import { textWritten } from '../agent/config-written.ts';
import { GatelogError } from '../errors.ts';
import type { CliContext, PlaceOptions } from './context.ts';
import { printError } from './context.ts';

/** The configuration that `--config` names, or the defaults; paths are relative to where we are. */
export function configOf(context: CliContext, options: PlaceOptions): LoadedConfig {
  const surroundings = { env: context.env, workingFolder: context.workingFolder };
  if (options.config === undefined) return parseConfig('', 'gatelog.yaml', surroundings);
  return loadConfig(options.config, surroundings);
}

/**
 * `--data`, else the configuration's, else `gatelog-data` here. A configuration that is wrong is said so,
 * and keeps nobody from an agent that runs since before it was: what it writes for `data` counts.
 */
export function dataFolderOf(context: CliContext, options: PlaceOptions): string {
  if (options.data !== undefined) return path.resolve(context.workingFolder, options.data);
  try {
    return configOf(context, options).config.data;
  } catch (error) {
    if (!(error instanceof GatelogError) || error.code !== 'CONFIG_INVALID') throw error;
    const { message } = error;
    const data = writtenDataFolder(context, options);
    if (data === undefined) {
      const hint = '--data DIR asks the agent there, whatever the configuration says';
      throw new GatelogError(error.code, `${message}\n${hint}`, { cause: error });
    }
    printError(context, `${message}\nthe data folder ${data} is looked at all the same`);
    return data;
  }
}

/** What stands for `data` in a configuration that is wrong elsewhere; undefined: that is not known. */
export function writtenDataFolder(
  { env, workingFolder }: CliContext,
  { config }: PlaceOptions,
): string | undefined {
  if (config === undefined) return undefined;
  for (const { file, text } of filesOf(config, { env, workingFolder })) {
    const written = textWritten(text, 'data');
    if (written !== undefined) return path.resolve(workingFolder, path.dirname(file), written);
  }
  return undefined;
}

function filesOf(config: string, surroundings: LoadSurroundings): readonly ConfigFile[] {
  try {
    return configFiles(config, surroundings);
  } catch {
    return [];
  }
}
