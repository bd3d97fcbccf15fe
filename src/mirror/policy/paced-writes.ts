// oxlint-disable no-underscore-dangle -- these are Node's names for what the maker of a stream provides
import type { Duplex } from 'node:stream';
import type { TokenBucket } from './token-bucket.ts';

type Written = (error?: Error | null) => void;

interface Chunk {
  readonly chunk: unknown;
  readonly encoding: BufferEncoding;
}

/**
 * Has a stream write no faster than a bucket gives: in front of its own `_write`, where all bytes come
 * by, in pieces, one after the other. `onWrite` is told of every piece.
 */
export function paceWrites(
  stream: Duplex,
  bucket: TokenBucket,
  onWrite: (bytes: number) => void,
  costOf: (bytes: number) => number,
): void {
  const write = stream._write.bind(stream);
  const writeMany = stream._writev?.bind(stream);
  /** Of the write under way, while it waits for the bucket; a stream has one at a time. */
  let waiting: Written | undefined;
  stream.once('close', () => waiting?.(new Error('the connection was closed')));
  const paced = (data: Buffer, done: Written): void => {
    let at = 0;
    const next: Written = (error) => {
      if (error !== undefined && error !== null) done(error);
      else if (at >= data.length) done();
      else piece();
    };
    const piece = (): void => {
      const bytes = Math.min(bucket.pieceBytes, data.length - at);
      const cost = costOf(bytes);
      waiting = done;
      bucket.take(cost, () => {
        waiting = undefined;
        if (stream.destroyed) {
          bucket.charge(-cost);
          return;
        }
        const part = data.subarray(at, at + bytes);
        at += bytes;
        onWrite(part.length);
        write(part, 'buffer' as BufferEncoding, next);
      });
    };
    piece();
  };
  stream._write = (chunk: unknown, encoding, done) => {
    const data = bufferOf({ chunk, encoding });
    if (bucket.bitsPerSecond !== undefined) {
      paced(data, done);
      return;
    }
    onWrite(data.length);
    write(chunk, encoding, done);
  };
  if (writeMany === undefined) return;
  stream._writev = (chunks: Chunk[], done) => {
    if (bucket.bitsPerSecond !== undefined) {
      paced(Buffer.concat(chunks.map(bufferOf)), done);
      return;
    }
    onWrite(chunks.reduce((sum, one) => sum + bufferOf(one).length, 0));
    writeMany(chunks, done);
  };
}

function bufferOf({ chunk, encoding }: Chunk): Buffer {
  if (typeof chunk === 'string') return Buffer.from(chunk, encoding);
  const bytes = chunk as Uint8Array;
  return Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length);
}
