import path from 'node:path';
import { loadConfig, parseConfig } from '../agent/config.ts';
import type { LoadedConfig } from '../agent/config.ts';
import type { CliContext, PlaceOptions } from './context.ts';

/** The configuration that `--config` names, or the defaults; paths are relative to where we are. */
export function configOf(context: CliContext, options: PlaceOptions): LoadedConfig {
  const surroundings = { env: context.env, workingFolder: context.workingFolder };
  if (options.config === undefined) return parseConfig('', 'gatelog.yaml', surroundings);
  return loadConfig(options.config, surroundings);
}

/** `--data`, else the configuration's, else `gatelog-data` here. */
export function dataFolderOf(context: CliContext, options: PlaceOptions): string {
  if (options.data !== undefined) return path.resolve(context.workingFolder, options.data);
  return configOf(context, options).config.data;
}
