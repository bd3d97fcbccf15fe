import {
  blockOf,
  footerOf,
  handleBytes,
  storedBlock,
  TRAILER_BYTES,
  type BlockEntry,
} from './table-format.ts';
import { soundBlocks } from './table-search.ts';

/**
 * A table whose index is gone, with a new one, of all its blocks that are not altered; undefined when
 * there is none.
 */
export function rebuiltTable(bytes: Buffer): Buffer | undefined {
  const data: Buffer[] = [];
  const index: BlockEntry[] = [];
  let at = 0;
  for (const { offset, size, last } of soundBlocks(bytes)) {
    const stored = bytes.subarray(offset, offset + size + TRAILER_BYTES);
    data.push(stored);
    index.push({ key: last, value: handleBytes({ offset: at, size }) });
    at += stored.length;
  }
  return index.length === 0 ? undefined : withIndex(Buffer.concat(data), index);
}

function withIndex(data: Buffer, index: readonly BlockEntry[]): Buffer {
  const metaindexBlock = storedBlock(blockOf([]));
  const indexBlock = storedBlock(blockOf(index));
  const metaindexAt = data.length;
  const indexAt = metaindexAt + metaindexBlock.length;
  const footer = footerOf(
    { offset: metaindexAt, size: metaindexBlock.length - TRAILER_BYTES },
    { offset: indexAt, size: indexBlock.length - TRAILER_BYTES },
  );
  return Buffer.concat([data, metaindexBlock, indexBlock, footer]);
}
