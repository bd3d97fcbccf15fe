import { LIMITS } from '../limits.ts';
import { packCheckpoint, type Checkpoint } from './checkpoint.ts';
import type { EncodedCommit } from './commit-encoder.ts';
import { entryKey, KEY_BYTES, writeKey } from './commit-key.ts';
import { Compressor } from './compression.ts';
import { FRAME_HEADER_BYTES, writeFrame } from './frame.ts';

/** Makes the stored form of a commit, in buffers of its own that are used again and again. */
export class CommitFramer {
  readonly #compressor: Compressor | undefined;
  #value: Buffer = Buffer.allocUnsafeSlow(256 * 1024);
  /** Of the commit framed last. */
  readonly key: Buffer = Buffer.allocUnsafeSlow(KEY_BYTES);

  constructor(compression: 'zstd' | 'none') {
    this.#compressor = compression === 'zstd' ? new Compressor() : undefined;
  }

  /** Valid until the next call, as `key` is. */
  async frame(number: number, { head, body }: EncodedCommit): Promise<Buffer> {
    const key = writeKey(this.key, number, 'commit');
    const room = FRAME_HEADER_BYTES + head.length + body.length;
    if (this.#value.length < room) this.#value = Buffer.allocUnsafeSlow(room * 2);
    let stored: Uint8Array = body;
    if (this.#compressor !== undefined && body.length >= LIMITS.compressFromBytes) {
      const chunks = await this.#compressor.compress(body);
      const bytes = chunks.reduce((sum, chunk) => sum + chunk.length, 0);
      const single = chunks.length === 1 ? chunks[0] : undefined;
      if (bytes < body.length) stored = single ?? Buffer.concat(chunks, bytes);
    }
    return writeFrame(this.#value, key, {
      head,
      body: stored,
      compressed: stored !== body,
      rawBodyBytes: body.length,
    });
  }

  close(): void {
    this.#compressor?.close();
  }
}

export function frameCheckpoint(checkpoint: Checkpoint): Buffer {
  const head = packCheckpoint(checkpoint);
  return writeFrame(
    Buffer.allocUnsafe(FRAME_HEADER_BYTES + head.length),
    entryKey(checkpoint.commit, 'checkpoint'),
    { head, body: new Uint8Array(0), compressed: false, rawBodyBytes: 0 },
  );
}
