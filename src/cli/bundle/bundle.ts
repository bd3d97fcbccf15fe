import { open, stat } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';
import { packTar } from 'modern-tar';
import { configFiles, defaultConfig, loadConfig } from '../../agent/config.ts';
import { redactConfig, type Redaction } from '../../agent/config-redaction.ts';
import { reasonOf } from '../../agent/config-document.ts';
import { GatelogError, messageOf, systemCodeOf } from '../../errors.ts';
import { dateOf, isoTime } from '../../time.ts';
import { formatSize } from '../../units.ts';
import { counted } from '../../words.ts';
import { type CliContext, type PlaceOptions, printLine } from '../context.ts';
import { type Examination, examination } from '../doctor-examination.ts';
import { writtenDataFolder } from '../place.ts';
import { contentOf, type Part, partsOf } from './parts.ts';
import { Scrubber } from './scrub.ts';

export interface BundleOptions extends PlaceOptions {
  readonly output?: string | undefined;
  readonly log?: string | undefined;
  readonly offline: boolean;
  readonly force: boolean;
  /** Say what would be in it, and write nothing. */
  readonly dryRun: boolean;
}

const NEVER =
  'Never in it: payloads, passwords and their hashes, tokens, private keys, values of the environment.';
const MAY_BE = 'In it may be: names of topics, users and clients, addresses, host names.';

/** `gatelog support-bundle`: one file with what somebody far away needs, without secrets. */
export async function makeBundle(context: CliContext, options: BundleOptions): Promise<void> {
  const config = configOf(context, options);
  const scrubber = new Scrubber([
    ...(config?.redaction.secrets ?? []),
    ...secretsOfEnvironment(context),
  ]);
  const found = await examined(context, options, config);
  const parts = partsOf({
    context: { ...context, env: { ...context.env, NO_COLOR: '1' } },
    data: found.data,
    found,
    shownConfig: config?.redaction.shown,
    configTrouble: config?.trouble,
    log: options.log === undefined ? undefined : path.resolve(context.workingFolder, options.log),
    scrubber,
  });
  const file = fileOf(context, options, found);
  for (const line of planLines(file, parts)) printLine(context, line);
  if (options.dryRun) return;
  const entries: { name: string; text: string }[] = [];
  for (const part of parts) {
    entries.push({ name: part.name, text: await contentOf(part, scrubber) });
  }
  const bytes = await packed(context, file, [
    { name: 'README.txt', text: readme(context, parts, scrubber) },
    ...entries,
  ]);
  await write(file, bytes, options.force, sudoer(context));
  const what = `${formatSize(bytes.length)}, ${counted(entries.length + 1, 'file')}`;
  const taken = counted(scrubber.removed, 'secret');
  printLine(context, '');
  printLine(
    context,
    `wrote ${file}: ${what}; ${taken} taken out. Look through it before you send it:`,
  );
  printLine(context, `  tar -xzOf ${file} | less`);
}

interface NamedConfig {
  readonly redaction: Redaction;
  readonly trouble: string | undefined;
}

function configOf(
  { env, workingFolder }: CliContext,
  { config: file }: BundleOptions,
): NamedConfig | undefined {
  if (file === undefined) return undefined;
  const surroundings = { env, workingFolder };
  const redaction = redactConfig(configFiles(file, surroundings), surroundings);
  try {
    loadConfig(file, surroundings);
    return { redaction, trouble: undefined };
  } catch (error) {
    return { redaction, trouble: messageOf(error) };
  }
}

/** A configuration that is wrong keeps nobody from looking at the rest. */
function examined(
  context: CliContext,
  options: BundleOptions,
  config: NamedConfig | undefined,
): Promise<Examination> {
  const { data, offline } = options;
  if (config?.trouble === undefined) return examination(context, { ...options, isForBundle: true });
  const { env, workingFolder } = context;
  const written = data ?? writtenDataFolder(context, options);
  const folder = written ?? defaultConfig({ env, workingFolder }).data;
  return examination(context, { data: folder, offline, isForBundle: true });
}

/** Values of variables whose names say so. */
function secretsOfEnvironment({ env }: CliContext): string[] {
  return Object.entries(env).flatMap(([name, value]) =>
    value !== undefined && /PASS|SECRET|TOKEN|KEY|CREDENTIAL|AUTH/iu.test(name) ? [value] : [],
  );
}

function fileOf(context: CliContext, { output }: BundleOptions, { facts }: Examination): string {
  const gateway = facts?.agent?.gateway ?? facts?.state?.identity?.gateway ?? 'gateway';
  const time = isoTime(context.clock.nowMs()).replaceAll(/[-:]|\.\d+/gu, '');
  return path.resolve(context.workingFolder, output ?? `gatelog-support-${gateway}-${time}.tar.gz`);
}

function planLines(file: string, parts: readonly Part[]): string[] {
  const names = parts.map(({ name, what }) => `  ${name.padEnd(18)} ${what}`);
  return [`${file} will hold:`, ...names, NEVER, MAY_BE];
}

function readme(
  { clock, version }: CliContext,
  parts: readonly Part[],
  { removed }: Scrubber,
): string {
  const lines = [
    `Made by gatelog ${version} support-bundle at ${isoTime(clock.nowMs())}.`,
    '',
    ...parts.map(({ name, what }) => `${name.padEnd(18)} ${what}`),
    '',
    NEVER,
    MAY_BE,
    `${counted(removed, 'secret')} taken out and replaced by "(not shown)". Those of fewer than ${Scrubber.shortest} characters can't be looked for outside of the configuration.`,
    '',
  ];
  return lines.join('\n');
}

const gzipOf = promisify(gzip);

async function packed(
  { clock }: CliContext,
  file: string,
  entries: readonly { readonly name: string; readonly text: string }[],
): Promise<Buffer> {
  const folder = path.basename(file).replace(/\.(?:tar\.gz|tgz)$/u, '');
  const mtime = dateOf(clock.nowMs());
  const tar = await packTar(
    entries.map(({ name, text }) => {
      const body = Buffer.from(text, 'utf8');
      return { header: { name: `${folder}/${name}`, size: body.length, mode: 0o600, mtime }, body };
    }),
  );
  return gzipOf(tar);
}

interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Who asked root for it is to send it, and so owns it; undefined: who asked is who writes. */
function sudoer({ env }: CliContext): Owner | undefined {
  if (process.getuid?.() !== 0) return undefined;
  const [uid, gid] = [Number(env['SUDO_UID'] ?? 0), Number(env['SUDO_GID'] ?? 0)];
  return Number.isInteger(uid) && Number.isInteger(gid) ? { uid, gid } : undefined;
}

async function write(
  file: string,
  bytes: Buffer,
  force: boolean,
  owner: Owner | undefined,
): Promise<void> {
  try {
    if (force) await refuseFolder(file);
    const handle = await open(file, force ? 'w' : 'wx', 0o600);
    try {
      await handle.writeFile(bytes);
      if (owner !== undefined) await handle.chown(owner.uid, owner.gid);
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof GatelogError) throw error;
    const why =
      systemCodeOf(error) === 'EEXIST' ? 'is there already; --force replaces it' : reasonOf(error);
    throw new GatelogError('OUTPUT_FAILED', `${file}: ${why}`, { cause: error });
  }
}

async function refuseFolder(file: string): Promise<void> {
  const found = await stat(file).catch(() => undefined);
  if (found?.isDirectory() === true) {
    throw new GatelogError('OUTPUT_FAILED', `${file} is a folder; name a file in it`);
  }
}
