import path from 'node:path';
import { loadConfig } from '../agent/config.ts';
import { checkCertificates } from '../agent/config-certificates.ts';
import { checkAclFile, checkTokenKeys, checkUsersFile } from '../agent/config-users.ts';
import { formatPlace, GatelogError } from '../errors.ts';
import { counted } from '../words.ts';
import type { CliContext } from './context.ts';
import { paint, printError, printLine } from './context.ts';
import { serviceReader, unreadableFiles } from './service-reader.ts';

/** `gatelog config check FILE`: says whether the file is good, and every place where it is not. */
export async function checkConfig(context: CliContext, file: string | undefined): Promise<void> {
  if (file === undefined) {
    throw new GatelogError('USAGE', 'which file? Say gatelog config check FILE');
  }
  const { env, workingFolder } = context;
  const loaded = loadConfig(file, { env, workingFolder });
  const { config, placeOf } = loaded;
  const findings = [
    ...(await checkCertificates(config, context.clock.nowMs())),
    ...(await checkUsersFile(config)),
    ...(await checkAclFile(config)),
    ...(await checkTokenKeys(config)),
  ];
  const linesOf = (areErrors: boolean): string[] =>
    findings
      .filter(({ isError }) => isError === areErrors)
      .map(({ at, message }) => `${formatPlace(placeOf(at))}: ${message}`);
  const reader = await serviceReader(path.resolve(workingFolder, file), config.data);
  const unreadable = reader === undefined ? [] : await unreadableFiles(loaded, reader);
  const errors = [...linesOf(true), ...unreadable];
  if (errors.length > 0) throw new GatelogError('CONFIG_INVALID', errors.join('\n'));
  const warnings = [...loaded.warnings, ...linesOf(false)];
  for (const warning of warnings) printError(context, `warning: ${warning}`);
  const parts = [
    counted(Object.keys(config.topics).length, 'topic'),
    counted(config.routes.length, 'route'),
    counted(Object.keys(config.mirrors).length, 'mirror'),
    ...(loaded.files.length === 1
      ? []
      : [`with ${counted(loaded.files.length - 1, 'included file')}`]),
  ];
  const verdict =
    warnings.length === 0 ? 'good' : `good, with ${counted(warnings.length, 'warning')}`;
  printLine(context, `${file}: ${paint(context, 'green', verdict)} (${parts.join(', ')})`);
}
