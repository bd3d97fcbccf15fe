import { rm } from 'node:fs/promises';
import path from 'node:path';
import { ControlClient } from '../admin/control-client.ts';
import type { Config } from '../agent/config-types.ts';
import { Exports } from '../agent/mirror-exports.ts';
import { GatelogError, messageOf, systemCodeOf } from '../errors.ts';
import { makeFolders } from '../make-folders.ts';
import { ExportContent } from '../mirror/file/export-content.ts';
import { ExportFiles, listExports, nextNumber } from '../mirror/file/export-files.ts';
import { type ExportHeld, heldExports } from '../mirror/file/export-had.ts';
import { FrameParser } from '../mirror/file/frames.ts';
import { openStore } from '../store/open.ts';
import { silentLogger } from '../telemetry.ts';
import { holdProcess } from '../time.ts';
import { counted } from '../words.ts';
import { type CliContext, type PlaceOptions, printLine } from './context.ts';
import { requireFolder } from './folder.ts';
import { Interrupt } from './output.ts';
import { configOf, dataFolderOf } from './place.ts';

export interface ExportOptions extends PlaceOptions {
  readonly mirror: string;
  readonly to: string;
}

/**
 * `gatelog export`: what a mirror has not sent yet, as files for `gatelog import` at the centre, from
 * the running agent or from a stopped folder. Done again it adds what came since; whole files stay.
 */
export async function exportMirror(context: CliContext, options: ExportOptions): Promise<void> {
  const { mirror } = options;
  const { config } = configOf(context, options);
  const data = dataFolderOf(context, options);
  const to = path.resolve(context.workingFolder, options.to);
  const interrupt = new Interrupt();
  const hold = holdProcess();
  try {
    const held = await heldIn(to);
    const ask = { mirror, held, signal: interrupt.signal };
    const writing = (bytes: AsyncIterable<Uint8Array>): Promise<void> =>
      writeFiles(context, to, mirror, bytes);
    try {
      await writing(await new ControlClient(data).exportMirror(mirror, held, interrupt.signal));
    } catch (error) {
      if (!(error instanceof GatelogError) || error.code !== 'AGENT_NOT_RUNNING') throw error;
      await fromFolder(context, { ...config, data }, ask, writing);
    }
  } finally {
    interrupt.release();
    hold.cancel();
  }
}

interface Ask {
  readonly mirror: string;
  readonly held: readonly ExportHeld[];
  readonly signal: AbortSignal;
}

/** The folder is opened to write: it is noted in it that the records leave. */
async function fromFolder(
  { clock, random }: CliContext,
  config: Config,
  { mirror, held, signal }: Ask,
  writing: (bytes: AsyncIterable<Uint8Array>) => Promise<void>,
): Promise<void> {
  await requireFolder(config.data);
  const { gateway, gatewayGiven, data: folder } = config;
  const logger = silentLogger;
  const store = await openStore({ folder, gateway, gatewayGiven, clock, random, logger });
  try {
    const present = { ...config, gateway: store.identity.gateway ?? gateway };
    const exports = new Exports(() => present, store, clock);
    await writing(await exports.begin(mirror, held, signal));
  } finally {
    await store.close();
  }
}

/** What whole files there hold; those that were not finished are removed. */
async function heldIn(to: string): Promise<readonly ExportHeld[]> {
  try {
    await makeFolders(to);
  } catch (error) {
    const message = `can't make the folder ${to}: ${messageOf(error)}`;
    throw new GatelogError('OUTPUT_FAILED', message, { cause: error });
  }
  for (const file of (await listExports(to)).parts) await rm(file, { force: true });
  return heldExports(to);
}

async function writeFiles(
  context: CliContext,
  to: string,
  mirror: string,
  bytes: AsyncIterable<Uint8Array>,
): Promise<void> {
  const content = new ExportContent();
  const parser = new FrameParser();
  let files: ExportFiles | undefined;
  try {
    for await (const part of bytes) {
      for (const frame of parser.push(part)) {
        const piece = await content.take(frame);
        if (piece.kind === 'header') {
          const number = await nextNumber(to, piece.header);
          files = new ExportFiles(to, piece.header, number);
        } else await files?.write(frame, piece);
      }
    }
    if (!content.isWhole) {
      const message = 'the export broke off: do it again, what is whole stays';
      throw new GatelogError('AGENT_NOT_RUNNING', message);
    }
    await files?.seal();
  } catch (error) {
    await files?.abandon();
    throw isOfTarget(error) ? targetFailed(to, error) : error;
  }
  for (const file of files?.sealed ?? []) printLine(context, file);
  printLine(context, summary(mirror, content.records, files?.sealed.length ?? 0));
}

function summary(mirror: string, records: number, files: number): string {
  if (records === 0) return `mirror ${mirror}: nothing new to export`;
  return `mirror ${mirror}: ${counted(records, 'record')} in ${counted(files, 'file')}; at the centre: gatelog import DIR --kafka HOST:PORT`;
}

const TARGET_CODES = new Set(['ENOSPC', 'EROFS', 'EACCES', 'EPERM', 'EIO', 'ENOENT', 'EFBIG']);

function isOfTarget(error: unknown): boolean {
  return !(error instanceof GatelogError) && TARGET_CODES.has(systemCodeOf(error) ?? '');
}

function targetFailed(to: string, error: unknown): GatelogError {
  const message = `can't write to ${to}: ${messageOf(error)}; what is whole there stays, do it again elsewhere or with more room`;
  return new GatelogError('OUTPUT_FAILED', message, { cause: error });
}
