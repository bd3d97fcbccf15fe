import { literalSizeBytes, walkPacked, type Walk } from './snappy.ts';
import {
  compareKeys,
  Cursor,
  entriesIn,
  handleBytes,
  handleIn,
  isInternalKey,
  isSound,
  KEY_END_BYTES,
  NUMBER_BYTES,
  PLAIN,
  SNAPPY,
  TRAILER_BYTES,
  unpackedBlock,
  type BlockEntry,
  type Handle,
} from './table-format.ts';

/** A block of data, found without an index. */
export interface FoundBlock extends Handle {
  readonly first: Buffer;
  readonly last: Buffer;
}

/** Blocks one directly after the other, with ascending keys. */
interface Run {
  readonly blocks: FoundBlock[];
  readonly first: FoundBlock;
  last: FoundBlock;
  bytes: number;
}

/**
 * Steps for each byte that is searched, and for all: sound tables take less than a tenth of one, and
 * values made to look like blocks must not hold up a start.
 */
const STEPS_PER_BYTE = 4;
const STEPS_AT_MOST = 32 * 1024 * 1024;
/** Of the length of what is packed, at most. */
const LENGTH_BYTES = 5;
/** Summed in the time of a step. */
const BYTES_PER_STEP = 16;
/** So many runs are looked for: they are compared with each other. */
const RUNS_AT_MOST = 1024;

/**
 * The blocks of data that are not altered. They lie one after the other without a mark, so behind one
 * that is altered every byte may be where the next one begins. Where it ends it says itself, by its
 * entries or by how it is packed; its checksum and its keys say that it is one.
 */
export function soundBlocks(bytes: Buffer): FoundBlock[] {
  const left = Math.min(bytes.length * STEPS_PER_BYTE, STEPS_AT_MOST);
  const search = { bytes, cursor: new Cursor(bytes), walk: { left, at: 0 } };
  const runs: Run[] = [];
  /** Behind the last block; how far an altered one that begins there can be read; behind one inside it. */
  const ends = { block: 0, altered: 0, inner: -1 };
  for (let at = 0; at < bytes.length && search.walk.left > 0;) {
    const block = blockAt(search, at);
    if (block === undefined) {
      if (at === ends.block) ends.altered = search.walk.at;
      at++;
      continue;
    }
    const isInner = at === ends.inner || (at < ends.altered && !isBehindBlock(search, at));
    at = endOf(block);
    if (isInner) {
      ends.inner = at;
      continue;
    }
    addTo(runs, block);
    if (runs.length > RUNS_AT_MOST) break;
    ends.block = at;
  }
  return bestChain(runs.slice(0, RUNS_AT_MOST)).flatMap((run) => run.blocks);
}

interface Search {
  readonly bytes: Buffer;
  readonly cursor: Cursor;
  readonly walk: Walk;
}

/** undefined: none begins there, or none that is sound. */
function blockAt({ bytes, cursor, walk }: Search, at: number): FoundBlock | undefined {
  walk.at = at;
  if (!mayBegin(bytes, at)) return undefined;
  const kind = bytes[at] === 0 ? PLAIN : SNAPPY;
  const isWhole = kind === PLAIN ? walkPlain(bytes, at, cursor, walk) : walkPacked(bytes, at, walk);
  const size = walk.at - at;
  const stored = bytes.subarray(at, at + size + TRAILER_BYTES);
  if (!isWhole || stored[size] !== kind || stored.length < size + TRAILER_BYTES) return undefined;
  if (!spend(walk, stored.length) || !isSound(stored)) return undefined;
  const unpacked = unpackedBlock(stored);
  if (unpacked === undefined || !spend(walk, unpacked.length)) return undefined;
  return dataBlock({ offset: at, size }, unpacked);
}

/**
 * For nearly all places a quick no. The first key of a block stands whole, behind a zero, and has
 * LevelDB's end; a packed block begins with its length, and a piece that stands there as it is.
 */
function mayBegin(bytes: Buffer, at: number): boolean {
  if (bytes[at] === 0) return (bytes[at + 1] ?? 0) >= KEY_END_BYTES;
  let piece = at + 1;
  while ((bytes[piece - 1] ?? 0) >= 0x80 && piece < at + LENGTH_BYTES) piece++;
  const tag = bytes[piece] ?? 1;
  return (tag & 3) === 0 && bytes[piece + 1 + literalSizeBytes(tag >>> 2)] === 0;
}

/** For bytes that are looked at once. False: no steps are left. */
function spend(walk: Walk, bytes: number): boolean {
  walk.left -= Math.ceil(bytes / BYTES_PER_STEP);
  return walk.left > 0;
}

/** Goes through entries and the list of places that is behind them; true when all of it is there. */
function walkPlain(bytes: Buffer, from: number, cursor: Cursor, walk: Walk): boolean {
  cursor.at = from;
  walk.at = from;
  for (let keyBytes = cursor.skip(0); keyBytes !== undefined; keyBytes = cursor.skip(keyBytes)) {
    if (walk.left-- <= 0) return false;
    walk.at = cursor.at;
  }
  const size = walk.at - from;
  let before = -1;
  // The first place is the first entry; one is always larger than its number.
  for (let at = walk.at, count = 0; at + NUMBER_BYTES <= bytes.length; count++) {
    const place = bytes.readUInt32LE(at);
    at += NUMBER_BYTES;
    if (count > 0 && place === count) {
      walk.at = at;
      return true;
    }
    const isPlace = count === 0 ? place === 0 : place > before;
    if (!isPlace || place >= size || walk.left-- <= 0) return false;
    before = place;
  }
  return false;
}

/** Whether what is before it may be the end of a block: the list of places, if it is not packed. */
function isBehindBlock({ bytes, walk }: Search, at: number): boolean {
  const end = at - TRAILER_BYTES;
  if (bytes[end] !== PLAIN) return bytes[end] === SNAPPY;
  const countAt = end - NUMBER_BYTES;
  const count = countAt < 0 ? 0 : bytes.readUInt32LE(countAt);
  const from = countAt - NUMBER_BYTES * count;
  if (count === 0 || from < 0 || !spend(walk, countAt - from)) return false;
  if (bytes.readUInt32LE(from) !== 0) return false;
  for (let place = from + NUMBER_BYTES; place < countAt; place += NUMBER_BYTES) {
    if (bytes.readUInt32LE(place) <= bytes.readUInt32LE(place - NUMBER_BYTES)) return false;
  }
  return true;
}

/** undefined: it is none, or only helps to find something. */
function dataBlock(handle: Handle, unpacked: Buffer): FoundBlock | undefined {
  const entries = entriesIn(unpacked) ?? [];
  const [first] = entries;
  const last = entries.at(-1);
  if (first === undefined || last === undefined) return undefined;
  if (!entries.every(({ key }) => isInternalKey(key)) || isIndex(entries)) return undefined;
  // Copies: the unpacked block is not kept for them.
  return { ...handle, first: Buffer.from(first.key), last: Buffer.from(last.key) };
}

/** Its keys are those of data, too. Its values are the places of blocks one after the other. */
function isIndex(entries: readonly BlockEntry[]): boolean {
  let at = 0;
  return entries.every(({ value }) => {
    const handle = handleIn(value);
    if (handle?.offset !== at || !handleBytes(handle).equals(value)) return false;
    at += handle.size + TRAILER_BYTES;
    return true;
  });
}

function addTo(runs: Run[], block: FoundBlock): void {
  const run = runs.at(-1);
  if (run === undefined || endOf(run.last) !== block.offset || !isAfter(block, run.last)) {
    runs.push({ blocks: [block], first: block, last: block, bytes: block.size });
    return;
  }
  run.blocks.push(block);
  run.last = block;
  run.bytes += block.size;
}

interface Chain {
  readonly run: Run;
  readonly before: Chain | undefined;
  /** Of all its runs. */
  readonly bytes: number;
}

/**
 * Those whose keys ascend, as they do in a table: a value may hold blocks of another table, which
 * come to light when the block around them is altered. Where runs contradict each other, those count
 * with which there is most.
 */
function bestChain(runs: readonly Run[]): Run[] {
  const chains: Chain[] = [];
  for (const run of runs) {
    const before = most(chains, (chain) => isAfter(run.first, chain.run.last));
    chains.push({ run, before, bytes: run.bytes + (before?.bytes ?? 0) });
  }
  const chosen: Run[] = [];
  for (let chain = most(chains, () => true); chain !== undefined; chain = chain.before) {
    chosen.push(chain.run);
  }
  return chosen.toReversed();
}

/** From the end: as a rule the last one is it, and the others need not be asked. */
function most(chains: readonly Chain[], fits: (chain: Chain) => boolean): Chain | undefined {
  let best: Chain | undefined;
  for (const chain of chains.toReversed()) {
    if (chain.bytes > (best?.bytes ?? 0) && fits(chain)) best = chain;
  }
  return best;
}

function isAfter(block: FoundBlock, before: FoundBlock): boolean {
  return compareKeys(before.last, block.first) < 0;
}

function endOf({ offset, size }: Handle): number {
  return offset + size + TRAILER_BYTES;
}
