import { createHash } from 'node:crypto';
import { type FileHandle, open, readdir, rename } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { GatelogError, messageOf, systemCodeOf } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { ExportContent, ExportPiece } from './export-content.ts';
import { endFrame, type ExportHeader, headerFrame } from './export-header.ts';
import { encodeFrame, type Frame, FrameParser } from './frames.ts';
import { EXPORT_LIMITS } from '../../export-limits.ts';

const SUFFIX = '.gatelog';
/** Of a file that is being written. */
const PART = '.part';
const MAGIC = Buffer.from('gatelog export\n', 'utf8');
const DIGITS = 6;
/** Digits of what a name has of its export. */
const OWN = 8;

/**
 * What files of an export are called: `GATEWAY.MIRROR.000001-1a2b3c4d.gatelog`. The number is for their
 * order, the rest for one export alone: files that were carried on different sticks may be copied into one
 * folder, also where the gateway's books, and so the numbers, were lost in between. Earlier programs
 * left the rest out.
 */
function nameOf(header: ExportHeader, number: number): string {
  const { gateway, mirror } = header;
  const own = createHash('sha256').update(headerFrame(header).body).digest('hex').slice(0, OWN);
  return `${gateway}.${mirror}.${String(number).padStart(DIGITS, '0')}-${own}${SUFFIX}`;
}

export interface ListedFiles {
  /** By name, so those of one origin in their order. */
  readonly whole: readonly string[];
  /** Not finished. */
  readonly parts: readonly string[];
}

/** Export files in a folder. Throws NOT_FOUND. */
export async function listExports(folder: string): Promise<ListedFiles> {
  let names: string[];
  try {
    names = (await readdir(folder)).toSorted();
  } catch (error) {
    throw new GatelogError('NOT_FOUND', unreadable(folder, error), { cause: error });
  }
  const ending = (suffix: string): string[] =>
    names.filter((name) => name.endsWith(suffix)).map((name) => join(folder, name));
  return { whole: ending(SUFFIX), parts: ending(SUFFIX + PART) };
}

function unreadable(folder: string, error: unknown): string {
  const what = 'name the folder that gatelog export wrote to, or a copy of it';
  const code = systemCodeOf(error);
  if (code === 'ENOENT') return `there is no folder ${folder}: ${what}`;
  if (code === 'ENOTDIR') return `${folder} is a file: name a folder`;
  if (code === 'EACCES' || code === 'EPERM') {
    return `the folder ${folder} may not be read by this user: give it the right, or run as one who has it`;
  }
  return `can't read the folder ${folder}: ${messageOf(error)}`;
}

/**
 * The number of an export's first file: behind those of its origin that are in the folder, and in one that was
 * emptied not before the export's own.
 */
export async function nextNumber(folder: string, header: ExportHeader): Promise<number> {
  const { whole } = await listExports(folder);
  const { gateway, mirror, number: own = 1 } = header;
  const start = `${gateway}.${mirror}.`;
  const numbers = whole
    .map((file) => basename(file))
    .filter((name) => name.startsWith(start))
    .map((name) => /^(\d+)(?:-[\da-f]+)?$/u.exec(name.slice(start.length, -SUFFIX.length)))
    .map((found) => Number(found?.[1] ?? 0))
    .filter(Number.isSafeInteger);
  return Math.max(own - 1, ...numbers) + 1;
}

/**
 * What a file holds, piece by piece, each checked before it is given. Throws EXPORT_DAMAGED, naming
 * the file, where bytes are altered or missing; `content` says then how far it was whole.
 */
export async function* readExport(
  file: string,
  content: ExportContent,
): AsyncGenerator<ExportPiece> {
  const handle = await open(file, 'r');
  try {
    const magic = Buffer.alloc(MAGIC.length);
    await handle.read(magic, 0, MAGIC.length);
    if (!magic.equals(MAGIC)) throw new GatelogError('EXPORT_DAMAGED', 'it is no export file');
    const parser = new FrameParser();
    for await (const chunk of chunksOf(handle)) {
      for (const frame of parser.push(chunk)) yield await content.take(frame);
    }
    if (!content.isWhole) throw new GatelogError('EXPORT_DAMAGED', 'its end is missing');
    if (parser.pending > 0) throw new GatelogError('EXPORT_DAMAGED', 'something follows its end');
  } catch (error) {
    if (!(error instanceof GatelogError)) throw error;
    const message = `${file}: ${messageOf(error)}: copy it again from where it came from`;
    throw new GatelogError(error.code, message, { cause: error });
  } finally {
    await handle.close();
  }
}

async function* chunksOf(handle: FileHandle): AsyncGenerator<Buffer> {
  for (;;) {
    const buffer = Buffer.allocUnsafe(EXPORT_LIMITS.readBytes);
    const { bytesRead } = await handle.read(buffer, 0, buffer.length);
    if (bytesRead === 0) return;
    yield buffer.subarray(0, bytesRead);
  }
}

interface OpenFile {
  readonly handle: FileHandle;
  /** Its name once it is sealed. */
  readonly name: string;
  bytes: number;
  records: number;
}

/** Writes files of one origin into a folder, each sealed (synced and renamed) before the next. */
export class ExportFiles {
  readonly #folder: string;
  readonly #header: ExportHeader;
  /** Next offset of each stream. */
  readonly #next: Map<StreamId, number>;
  #number: number;
  #file: OpenFile | undefined;
  /** Names of those that are whole. */
  readonly sealed: string[] = [];

  /** `number`: of the first file. */
  constructor(folder: string, header: ExportHeader, number: number) {
    this.#folder = folder;
    this.#header = header;
    this.#next = new Map(header.streams.map(({ stream, from }) => [stream, from]));
    this.#number = number;
  }

  /** The next frame of the export, and what it says; its header and its end are left out. */
  async write(frame: Frame, piece: ExportPiece): Promise<void> {
    if (piece.kind === 'header' || piece.kind === 'end') return;
    const file = (this.#file ??= await this.#open());
    const bytes = encodeFrame(frame);
    await file.handle.writeFile(bytes);
    file.bytes += bytes.length;
    if (piece.kind !== 'records') this.#next.set(piece.range.stream, piece.range.to);
    else {
      const { stream, records } = piece.slice;
      file.records += records.length;
      this.#next.set(stream, (records.at(-1)?.offset ?? 0) + 1);
    }
    if (file.bytes >= EXPORT_LIMITS.fileBytes) await this.seal();
  }

  /** The file under way is whole and durable when resolved; nothing without one. */
  async seal(): Promise<void> {
    const file = this.#file;
    if (file === undefined) return;
    const { records } = file;
    await file.handle.writeFile(encodeFrame(endFrame({ records, ends: this.#next })));
    await file.handle.sync();
    await file.handle.close();
    this.#file = undefined;
    await rename(file.name + PART, file.name);
    const folder = await open(this.#folder, 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
    this.sealed.push(file.name);
  }

  /** Leaves what is under way as it is. */
  async abandon(): Promise<void> {
    await this.#file?.handle.close();
    this.#file = undefined;
  }

  async #open(): Promise<OpenFile> {
    const name = join(this.#folder, nameOf(this.#header, this.#number++));
    const handle = await open(name + PART, 'w');
    const streams = this.#header.streams.map((at) => ({
      ...at,
      from: this.#next.get(at.stream) ?? at.from,
    }));
    const header = encodeFrame(headerFrame({ ...this.#header, streams }));
    await handle.writeFile(Buffer.concat([MAGIC, header]));
    return { handle, name, bytes: header.length, records: 0 };
  }
}
