import { constants, createZstdCompress, zstdDecompressSync, type ZstdCompress } from 'node:zlib';

const LEVEL = 1;

/**
 * zstd through ONE long-lived stream, a frame for each call. The one-shot functions leave a native
 * context behind per call until the collector finds it: 90 MB against 42 (research/store.md, 8).
 */
export class Compressor {
  readonly #stream: ZstdCompress;
  #chunks: Uint8Array[] = [];
  #reject: ((error: Error) => void) | undefined;

  constructor() {
    this.#stream = createZstdCompress({
      chunkSize: 64 * 1024,
      params: { [constants.ZSTD_c_compressionLevel]: LEVEL },
    });
    this.#stream.on('data', (chunk: Uint8Array) => this.#chunks.push(chunk));
    this.#stream.on('error', (error) => this.#reject?.(error));
  }

  /** One call at a time; `bytes` MUST NOT be changed until it settles. */
  compress(bytes: Uint8Array): Promise<readonly Uint8Array[]> {
    return new Promise((resolve, reject) => {
      this.#reject = reject;
      this.#stream.write(bytes);
      this.#stream.flush(constants.ZSTD_e_end, () => {
        const chunks = this.#chunks;
        this.#chunks = [];
        resolve(chunks);
      });
    });
  }

  close(): void {
    this.#stream.destroy();
  }
}

/** Throws when the bytes are no zstd frame of that size. */
export function decompress(bytes: Uint8Array, rawBytes: number): Uint8Array {
  const raw = zstdDecompressSync(bytes, {
    chunkSize: Math.max(rawBytes, 64),
    maxOutputLength: Math.max(rawBytes, 64),
  });
  if (raw.length !== rawBytes) throw new RangeError('a frame of another size than its header says');
  return raw;
}
