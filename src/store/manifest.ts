import { open, readFile, readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';

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

const BLOCK_BYTES = 32_768;
const HEADER_BYTES = 7;
/** A record is whole, or its first, middle or last part. */
const FULL = 1;
const FIRST = 2;
const LAST = 4;

/** Whether the list names other files than there are: opening would delete some, or misread them. */
export async function isOfOtherFiles(folder: string): Promise<boolean> {
  const files = await readFiles(folder);
  if (files === undefined) return false; // It can't be opened, and is repaired.
  for (const name of await readdir(folder)) {
    const [, digits = '', ending] = /^(\d+)\.(ldb|sst|log)$/u.exec(name) ?? [];
    if (ending === undefined) continue;
    const number = Number(digits);
    const { size } = await stat(join(folder, name));
    if (ending !== 'log' && files.tables.get(number) !== size) return true;
    const isKept = number >= files.oldestLog || number === files.previousLog;
    if (ending === 'log' && !isKept && size > 0) return true;
  }
  return false;
}

/** undefined when there is none that can be read. */
async function readFiles(folder: string): Promise<Files | undefined> {
  try {
    const current = await readFile(join(folder, 'CURRENT'), 'utf8');
    const file = await open(join(folder, current.trim()), 'r');
    try {
      return filesIn(await file.readFile());
    } finally {
      await file.close();
    }
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
  let at = 0;
  while (at + HEADER_BYTES <= manifest.length) {
    const left = BLOCK_BYTES - (at % BLOCK_BYTES);
    if (left < HEADER_BYTES) {
      at += left;
      continue;
    }
    const end = at + HEADER_BYTES + manifest.readUInt16LE(at + 4);
    const type = manifest.readUInt8(at + 6);
    if (end > manifest.length) return; // Torn: LevelDB leaves it out too.
    if (type === FULL || type === FIRST) parts = [];
    parts.push(manifest.subarray(at + HEADER_BYTES, end));
    if (type === FULL || type === LAST) yield Buffer.concat(parts);
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
