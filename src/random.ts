import { randomBytes, randomFillSync } from 'node:crypto';

/** Chance is handed in, so that a seed replays a run. The only user of crypto's and Math's random. */
export interface Random {
  /** Uniform in [0, 1). */
  next(): number;
  /** `bytes` random bytes as lower-case hex: ids. */
  hex(bytes: number): string;
  /** With random bytes. */
  fillBytes(bytes: Uint8Array): void;
}

export const systemRandom: Random = {
  next: () => Math.random(),
  hex: (bytes) => randomBytes(bytes).toString('hex'),
  fillBytes: (bytes) => void randomFillSync(bytes),
};

/** mulberry32: small and repeatable; for simulations and tests, never for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  const next = (): number => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
  const hex = (bytes: number): string => {
    let text = '';
    for (let index = 0; index < bytes; index++) {
      text += Math.floor(next() * 256)
        .toString(16)
        .padStart(2, '0');
    }
    return text;
  };
  const fillBytes = (bytes: Uint8Array): void => {
    for (let index = 0; index < bytes.length; index++) bytes[index] = next() * 256;
  };
  return { next, hex, fillBytes };
}
