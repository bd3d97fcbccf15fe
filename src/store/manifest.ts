import { open, readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { crc32c, masked } from './crc32c.ts';
import { BLOCK_BYTES, FIRST, FULL, HEADER_BYTES, LAST } from './wal.ts';

/**
 * LevelDB's own list of its files, as far as it is needed to see whether it is the list of these. An
 * opening deletes every table that is not in it, and every write-ahead file older than it says: after
 * a crash those are leftovers; when the list is another database's, they may be all there is.
 */
interface Files {
  /** Size in bytes by number. */
  readonly tables: ReadonlyMap<number, number>;
  readonly oldestLog: number;
  readonly previousLog: number;
}

/** So many times a first recovery may have begun, and left a table no larger than its logs. */
const FIRST_RECOVERIES = 4;

/**
 * Whether the list is another database's: opening would delete files of this one, or misread them.
 * It is ours when every table that it names is here, in its size. Then the files that it does not
 * name are what a crash leaves behind of every recovery and compaction, and LevelDB may delete them:
 * its repair, which takes them in, believes write-ahead files without looking at their checksums.
 */
export async function isOfOtherFiles(folder: string): Promise<boolean> {
  const files = await readFiles(folder);
  if (files === undefined) return false; // It can't be opened, and is repaired.
  const { tables, logs } = await filesBelow(folder);
  for (const [number, size] of files.tables) if (tables.get(number) !== size) return true;
  if (files.tables.size > 0) return false;
  let logBytes = 0;
  for (const [number, size] of logs) {
    const isKept = number >= files.oldestLog || number === files.previousLog;
    if (isKept) logBytes += size;
    else if (size > 0) return true;
  }
  // A database that was never closed has no table yet; of its first recovery one may be left.
  const tableBytes = [...tables.values()].reduce((sum, size) => sum + size, 0);
  return tableBytes > FIRST_RECOVERIES * logBytes;
}

/**
 * Numbers of the tables that an opening reads: those that are not among them it deletes, as the half
 * ones that a crash leaves behind. undefined: it would not open it, or by another database's list.
 */
export async function listedTables(folder: string): Promise<ReadonlySet<number> | undefined> {
  const files = await readFiles(folder);
  if (files === undefined || (await isOfOtherFiles(folder))) return undefined;
  return new Set(files.tables.keys());
}

/** The first write-ahead file that an opening takes in; 0: any, for the list can't be read. */
export async function oldestLogOf(folder: string): Promise<number> {
  return (await readFiles(folder))?.oldestLog ?? 0;
}

interface FilesBelow {
  /** Size in bytes by number. */
  readonly tables: ReadonlyMap<number, number>;
  readonly logs: ReadonlyMap<number, number>;
}

async function filesBelow(folder: string): Promise<FilesBelow> {
  const tables = new Map<number, number>();
  const logs = new Map<number, number>();
  for (const name of await readdir(folder)) {
    const [, digits = '', ending] = /^(\d+)\.(ldb|sst|log)$/u.exec(name) ?? [];
    if (ending === undefined) continue;
    const { size } = await stat(join(folder, name));
    (ending === 'log' ? logs : tables).set(Number(digits), size);
  }
  return { tables, logs };
}

/**
 * A power cut in the middle of a new edit leaves a list whose end is no edit, and LevelDB does not
 * open it. Everything before was synced, so the end is cut off; true when there was such an end.
 * A bad edit before good ones is damage of another kind, and is left alone.
 */
export async function cutTornEnd(folder: string): Promise<boolean> {
  const path = await listOf(folder);
  const manifest = path === undefined ? undefined : await readFile(path).catch(() => undefined);
  if (path === undefined || manifest === undefined) return false;
  const end = goodEnd(manifest);
  if (end === 0 || end === manifest.length || isGoodAfter(manifest, end)) return false;
  const file = await open(path, 'r+');
  try {
    await file.truncate(end);
    await file.sync();
  } finally {
    await file.close();
  }
  return true;
}

/** False: LevelDB's list is missing, or damaged otherwise than by a torn end. */
export async function hasSoundList(folder: string): Promise<boolean> {
  const path = await listOf(folder);
  const manifest = path === undefined ? undefined : await readFile(path).catch(() => undefined);
  if (manifest === undefined) return false;
  const end = goodEnd(manifest);
  return end > 0 && (end === manifest.length || !isGoodAfter(manifest, end));
}

/** Where the last whole edit of an unbroken row of them ends. */
function goodEnd(manifest: Buffer): number {
  let end = 0;
  for (const part of partsFrom(manifest, 0)) {
    if (!part.isGood) break;
    if (part.type === FULL || part.type === LAST) end = part.end;
  }
  return end;
}

/** LevelDB goes on at the next block after what it can't read. */
function isGoodAfter(manifest: Buffer, end: number): boolean {
  for (
    let block = Math.floor(end / BLOCK_BYTES) + 1;
    block * BLOCK_BYTES < manifest.length;
    block++
  ) {
    const [first] = partsFrom(manifest, block * BLOCK_BYTES);
    if (first?.isGood === true) return true;
  }
  return false;
}

/** Of the list that counts; undefined when there is none that can be read. */
export async function readFiles(folder: string): Promise<Files | undefined> {
  const path = await listOf(folder);
  try {
    return path === undefined ? undefined : filesIn(await readFile(path));
  } catch {
    return undefined;
  }
}

/** The list that counts. */
async function listOf(folder: string): Promise<string | undefined> {
  try {
    const current = await readFile(join(folder, 'CURRENT'), 'utf8');
    return /^MANIFEST-\d+\n$/u.test(current) ? join(folder, current.trim()) : undefined;
  } catch {
    return undefined;
  }
}

/** Throws RangeError when the bytes are no such list. */
export function filesIn(manifest: Buffer): Files {
  const tables = new Map<number, number>();
  let oldestLog = 0;
  let previousLog = 0;
  for (const record of recordsIn(manifest)) {
    const reader = new EditReader(record);
    while (!reader.done) {
      const tag = reader.varint();
      if (tag === 1) reader.bytes();
      else if (tag === 2) oldestLog = reader.varint();
      else if (tag === 3 || tag === 4) reader.varint();
      else if (tag === 5) reader.levelAndKey();
      else if (tag === 6) tables.delete(reader.levelAndNumber());
      else if (tag === 7) tables.set(...reader.newTable());
      else if (tag === 9) previousLog = reader.varint();
      else throw new RangeError(`an edit has the tag ${tag}`);
    }
  }
  return { tables, oldestLog, previousLog };
}

function* recordsIn(manifest: Buffer): Generator<Buffer> {
  let parts: Buffer[] = [];
  for (const { type, bytes } of partsFrom(manifest, 0)) {
    if (type === FULL || type === FIRST) parts = [];
    parts.push(bytes);
    if (type === FULL || type === LAST) yield Buffer.concat(parts);
  }
}

interface Part {
  readonly type: number;
  readonly bytes: Buffer;
  readonly end: number;
  /** Its checksum is right. */
  readonly isGood: boolean;
}

/** Parts of records in a row, from the beginning of a block; a torn one at the end is left out. */
function* partsFrom(manifest: Buffer, from: number): Generator<Part> {
  let at = from;
  while (at + HEADER_BYTES <= manifest.length) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (left < HEADER_BYTES) {
      at += left;
      continue;
    }
    const end = at + HEADER_BYTES + manifest.readUInt16LE(at + 4);
    if (end > manifest.length) return; // Torn: LevelDB leaves it out too.
    const type = manifest.readUInt8(at + 6);
    const bytes = manifest.subarray(at + HEADER_BYTES, end);
    // The checksum covers the type too.
    const sum = masked(crc32c(manifest.subarray(at + HEADER_BYTES - 1, end)));
    yield { type, bytes, end, isGood: sum === manifest.readUInt32LE(at) };
    at = end;
  }
}

class EditReader {
  readonly #buffer: Buffer;
  #at = 0;

  constructor(buffer: Buffer) {
    this.#buffer = buffer;
  }

  get done(): boolean {
    return this.#at >= this.#buffer.length;
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#buffer.readUInt8(this.#at++);
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
  }

  bytes(): void {
    const length = this.varint();
    this.#at += length;
    if (this.#at > this.#buffer.length) throw new RangeError('an edit ends early');
  }

  levelAndKey(): void {
    this.varint();
    this.bytes();
  }

  levelAndNumber(): number {
    this.varint();
    return this.varint();
  }

  newTable(): [number: number, size: number] {
    const number = this.levelAndNumber();
    const size = this.varint();
    this.bytes();
    this.bytes();
    return [number, size];
  }
}
