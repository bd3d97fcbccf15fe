import { Packr, Unpackr } from 'msgpackr';

/** Arrays stay arrays and objects maps of names: no shared structures, any msgpack reader can read it. */
const packr = new Packr({ useRecords: false, moreTypes: false, variableMapSize: true });
const unpackr = new Unpackr({ useRecords: false, mapsAsObjects: true });

/** Room that msgpack's own framing may take on top of the binaries. */
const FRAMING_BYTES = 4096;

/**
 * msgpackr writes into one buffer that all its instances share, so each Packer brings its own and
 * hands it over before every use: nothing is allocated per commit, and nothing is overwritten by
 * somebody else's packing while it is being compressed or written.
 */
export class Packer {
  #buffer: Buffer;

  constructor(bytes: number = FRAMING_BYTES) {
    this.#buffer = Buffer.allocUnsafeSlow(bytes + FRAMING_BYTES);
  }

  /** The bytes are valid until this Packer's next use. `atMost`: size of the binaries in it. */
  pack(value: unknown, atMost: number = 0): Uint8Array {
    if (this.#buffer.length < atMost + FRAMING_BYTES) {
      this.#buffer = Buffer.allocUnsafeSlow(2 * atMost + FRAMING_BYTES);
    }
    packr.useBuffer(this.#buffer);
    return packr.pack(value);
  }
}

const shared = new Packer();

/** A packed value of its own. */
export function packed(value: unknown): Buffer {
  return Buffer.from(shared.pack(value));
}

/** Binaries in the result are views of `bytes`. Throws on bytes that are no msgpack. */
export function unpacked(bytes: Uint8Array): unknown {
  return unpackr.unpack(bytes);
}
