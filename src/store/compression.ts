import { constants, createZstdCompress, zstdDecompressSync, type ZstdCompress } from 'node:zlib';
import { systemCodeOf } from '../errors.ts';
import type { Frame } from './frame.ts';

/** For large bodies 1 is as small as 3 and quicker; for a few records 3 takes 4 % off. */
const LEVEL = 1;
const SMALL_LEVEL = 3;
const SMALL_BYTES = 4096;
const COMPRESSED_CHUNK_BYTES = 64 * 1024;
/** Node's least. */
const MIN_CHUNK_BYTES = 64;
/** The levels above look back at most 2^21 bytes; a frame that asks for more is none of ours. */
const WINDOW_LOG_MAX = 22;

/**
 * zstd through long-lived streams, a frame for each call: off the JavaScript thread, and without
 * the one-shot functions' native contexts (90 MB against 42: docs/leveldb.md).
 */
export class Compressor {
  readonly #large = new FrameStream(LEVEL);
  readonly #small = new FrameStream(SMALL_LEVEL);

  /** One call at a time; `bytes` MUST NOT be changed until it settles. */
  compress(bytes: Uint8Array): Promise<readonly Uint8Array[]> {
    return (bytes.length < SMALL_BYTES ? this.#small : this.#large).compress(bytes);
  }

  close(): void {
    this.#large.close();
    this.#small.close();
  }
}

class FrameStream {
  readonly #level: number;
  #stream: ZstdCompress | undefined;
  #chunks: Uint8Array[] = [];
  #reject: ((error: Error) => void) | undefined;

  constructor(level: number) {
    this.#level = level;
  }

  compress(bytes: Uint8Array): Promise<readonly Uint8Array[]> {
    this.#stream ??= this.#open();
    const stream = this.#stream;
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      stream.write(bytes);
      stream.flush(constants.ZSTD_e_end, () => {
        const chunks = this.#chunks;
        this.#chunks = [];
        resolve(chunks);
      });
    });
  }

  close(): void {
    this.#stream?.destroy();
    this.#stream = undefined;
  }

  #open(): ZstdCompress {
    const stream = createZstdCompress({
      chunkSize: COMPRESSED_CHUNK_BYTES,
      params: { [constants.ZSTD_c_compressionLevel]: this.#level },
    });
    stream.on('data', (chunk: Uint8Array) => this.#chunks.push(chunk));
    stream.on('error', (error) => {
      this.#stream = undefined;
      this.#chunks = [];
      this.#reject?.(error);
    });
    return stream;
  }
}

/**
 * One call a frame: measured against a long-lived stream it costs half the CPU (7 µs against 14 for
 * 5 records, 70 against 60 for 1000), because Node's stream ends at a frame's end, so that each
 * frame would be a trip to another thread. Output of the known size is not copied.
 * undefined when the body is not what its frame says.
 */
export function rawBody({ body, compressed, rawBodyBytes }: Frame): Uint8Array | undefined {
  if (!compressed) return body;
  const room = Math.max(rawBodyBytes, MIN_CHUNK_BYTES);
  try {
    const params = { [constants.ZSTD_d_windowLogMax]: WINDOW_LOG_MAX };
    const raw = zstdDecompressSync(body, { chunkSize: room, maxOutputLength: room, params });
    return raw.length === rawBodyBytes ? raw : undefined;
  } catch (error) {
    if (isMalformed(systemCodeOf(error) ?? '')) return undefined;
    throw error;
  }
}

/** More bytes than were said, fewer, or no frame; not that memory ran out. */
function isMalformed(code: string): boolean {
  if (code === 'ERR_BUFFER_TOO_LARGE' || code === 'Z_BUF_ERROR') return true;
  return code.startsWith('ZSTD_error_') && code !== 'ZSTD_error_memory_allocation';
}
