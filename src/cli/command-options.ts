import type { Argv } from 'yargs';
import type { PlaceOptions } from './context.ts';

/** Options that several commands share. */
export const CONFIG = {
  string: true,
  requiresArg: true,
  describe: 'Configuration file (YAML)',
} as const;
const DATA = {
  string: true,
  requiresArg: true,
  describe: 'Data folder; overrides the configuration [default: ./gatelog-data]',
} as const;
export const JSON_LINES = { boolean: true, default: false, describe: 'Print JSON' } as const;

export function withPlace<T>(parser: Argv<T>): Argv<T & PlaceOptions> {
  return parser.option('config', CONFIG).option('data', DATA) as Argv<T & PlaceOptions>;
}
