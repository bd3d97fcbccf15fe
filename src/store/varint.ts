/** Unsigned LEB128 varints up to 2^53, in a buffer that grows. */
export class VarintWriter {
  #buffer: Buffer = Buffer.allocUnsafeSlow(1024);
  #at = 0;

  reset(): void {
    this.#at = 0;
  }

  write(value: number): void {
    if (this.#at + 8 > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(this.#buffer.length * 2);
      this.#buffer.copy(larger, 0, 0, this.#at);
      this.#buffer = larger;
    }
    let rest = value;
    while (rest >= 0x80) {
      this.#buffer[this.#at++] = (rest % 0x80) | 0x80;
      rest = Math.floor(rest / 0x80);
    }
    this.#buffer[this.#at++] = rest;
  }

  /** Valid until the next write or reset. */
  bytes(): Uint8Array {
    return this.#buffer.subarray(0, this.#at);
  }
}

/**
 * All the numbers there are in `bytes`. undefined when they end inside one, hold one beyond 2^53, or
 * hold more than `atMost` of them.
 */
export function readVarints(bytes: Uint8Array, atMost: number): number[] | undefined {
  const values: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (values.length === atMost) return undefined;
    let value = 0;
    let scale = 1;
    let byte: number | undefined;
    do {
      byte = bytes[at++];
      if (byte === undefined) return undefined;
      value += (byte & 0x7f) * scale;
      scale *= 0x80;
    } while (byte >= 0x80 && scale <= Number.MAX_SAFE_INTEGER);
    if (byte >= 0x80 || !Number.isSafeInteger(value)) return undefined;
    values.push(value);
  }
  return values;
}
