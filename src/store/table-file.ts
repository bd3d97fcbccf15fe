import { open, type FileHandle } from 'node:fs/promises';
import {
  compareKeys,
  entriesIn,
  FOOTER_BYTES,
  handleIn,
  isSound,
  isTable,
  PLAIN,
  readFooter,
  SNAPPY,
  TRAILER_BYTES,
  unpackedBlock,
  UNREADABLE,
  type Handle,
} from './table-format.ts';

/** A block of data as the index has it. */
export interface DataBlock extends Handle {
  /** No key before is after this one, and none of its own before or at it; undefined: it is the first. */
  readonly after: Buffer | undefined;
  /** No key of it is after this one. */
  readonly last: Buffer;
}

/** What a table says of itself. */
export interface TableBooks {
  readonly blocks: readonly DataBlock[];
  /** Blocks that only help to find something, altered. */
  readonly altered: readonly Handle[];
}

/** Read at once. */
const CHUNK_BYTES = 1024 * 1024;

/** A table of LevelDB's, looked at and made harmless without LevelDB. */
export class TableFile {
  readonly #path: string;
  readonly #file: FileHandle;
  readonly size: number;

  private constructor(path: string, file: FileHandle, size: number) {
    this.#path = path;
    this.#file = file;
    this.size = size;
  }

  static async open(path: string): Promise<TableFile> {
    const file = await open(path, 'r');
    try {
      return new TableFile(path, file, (await file.stat()).size);
    } catch (error) {
      await file.close();
      throw error;
    }
  }

  close(): Promise<void> {
    return this.#file.close();
  }

  /** undefined: without an index that can be believed, so that no block of it is found. */
  async books(): Promise<TableBooks | undefined> {
    if (this.size < FOOTER_BYTES) return undefined;
    const footer = readFooter(await this.#read(this.size - FOOTER_BYTES, FOOTER_BYTES));
    if (footer === undefined || !this.#holds(footer.index)) return undefined;
    const index = await this.#entries(footer.index);
    if (index === undefined) return undefined;
    const blocks: DataBlock[] = [];
    for (const { key, value } of index) {
      const handle = handleIn(value);
      if (handle === undefined || !this.#holds(handle)) return undefined;
      blocks.push({ ...handle, after: blocks.at(-1)?.last, last: key });
    }
    // It is there to be read, so that LevelDB asks for no more than there is.
    if (!this.#holds(footer.metaindex)) return undefined;
    await this.#limitLast(blocks);
    return { blocks, altered: await this.#alteredHelp(footer.metaindex) };
  }

  /** Of these, which must be in the order of the file, those that LevelDB must not read. */
  async *deadly(blocks: readonly DataBlock[]): AsyncGenerator<DataBlock> {
    for (let at = 0; at < blocks.length;) {
      const [first] = blocks.slice(at, at + 1);
      if (first === undefined) return;
      const chunk = blocks
        .slice(at)
        .filter((block) => endOf(block) <= first.offset + CHUNK_BYTES || block === first);
      const last = chunk.at(-1) ?? first;
      const bytes = await this.#read(first.offset, endOf(last) - first.offset);
      for (const block of chunk) {
        const from = block.offset - first.offset;
        const stored = bytes.subarray(from, from + block.size + TRAILER_BYTES);
        if (!isHarmless(stored, block)) yield block;
      }
      at += chunk.length;
    }
  }

  /** All of it. */
  bytes(): Promise<Buffer> {
    return this.#read(0, this.size);
  }

  /** From now on LevelDB takes the blocks for damaged without looking into them. Durable. */
  async spoil(handles: readonly Handle[]): Promise<void> {
    await this.#change(handles.map(({ offset, size }) => offset + size));
  }

  /** The same for all of the table. */
  async spoilWhole(): Promise<void> {
    await this.#change([this.size - 1]);
  }

  async isSpoilt(): Promise<boolean> {
    return (
      this.size < FOOTER_BYTES || !isTable(await this.#read(this.size - FOOTER_BYTES, FOOTER_BYTES))
    );
  }

  async #change(places: readonly number[]): Promise<void> {
    const file = await open(this.#path, 'r+');
    try {
      for (const place of places) await file.write(Buffer.of(UNREADABLE), 0, 1, place);
      await file.sync();
    } finally {
      await file.close();
    }
  }

  /** The index has no more for its end than a key that is large. */
  async #limitLast(blocks: DataBlock[]): Promise<void> {
    const last = blocks.at(-1);
    if (last === undefined) return;
    const stored = await this.#stored(last);
    const unpacked = isSound(stored) ? unpackedBlock(stored) : undefined;
    const end = unpacked === undefined ? undefined : entriesIn(unpacked)?.at(-1);
    if (end !== undefined) blocks.splice(-1, 1, { ...last, last: Buffer.from(end.key) });
  }

  async #alteredHelp(metaindex: Handle): Promise<Handle[]> {
    const entries = await this.#entries(metaindex);
    if (entries === undefined) return (await this.#isSpoilt(metaindex)) ? [] : [metaindex];
    const filters = entries
      .map(({ value }) => handleIn(value))
      .filter((handle) => handle !== undefined);
    const altered: Handle[] = [];
    for (const filter of filters) {
      if (!this.#holds(filter)) return [metaindex];
      if (isSound(await this.#stored(filter)) || (await this.#isSpoilt(filter))) continue;
      altered.push(filter);
    }
    return altered;
  }

  async #isSpoilt({ offset, size }: Handle): Promise<boolean> {
    return !isKind((await this.#read(offset + size, 1))[0]);
  }

  /** undefined: altered. */
  async #entries(handle: Handle): Promise<ReturnType<typeof entriesIn>> {
    const stored = await this.#stored(handle);
    const block = isSound(stored) ? unpackedBlock(stored) : undefined;
    return block === undefined ? undefined : entriesIn(block);
  }

  #stored({ offset, size }: Handle): Promise<Buffer> {
    return this.#read(offset, size + TRAILER_BYTES);
  }

  #holds(handle: Handle): boolean {
    return endOf(handle) <= this.size - FOOTER_BYTES;
  }

  async #read(offset: number, length: number): Promise<Buffer> {
    const { bytesRead, buffer } = await this.#file.read(
      Buffer.allocUnsafe(length),
      0,
      length,
      offset,
    );
    return buffer.subarray(0, bytesRead).length === length
      ? buffer
      : Buffer.concat([buffer.subarray(0, bytesRead), Buffer.alloc(length - bytesRead)]);
  }
}

function endOf({ offset, size }: Handle): number {
  return offset + size + TRAILER_BYTES;
}

function isKind(kind: number | undefined): boolean {
  return kind === PLAIN || kind === SNAPPY;
}

/**
 * An altered block that reads as one is left alone: our own checksums tell what in it is altered,
 * and the rest of it can be read.
 */
function isHarmless(stored: Buffer, { after, last }: DataBlock): boolean {
  if (isSound(stored) || !isKind(stored[stored.length - TRAILER_BYTES])) return true;
  const block = unpackedBlock(stored);
  const entries = block === undefined ? undefined : entriesIn(block);
  const [first] = entries ?? [];
  const end = entries?.at(-1);
  if (first === undefined || end === undefined) return false;
  const begins = after === undefined || compareKeys(after, first.key) < 0;
  return begins && compareKeys(end.key, last) <= 0;
}
