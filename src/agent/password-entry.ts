import { createHash, pbkdf2, scrypt, timingSafeEqual } from 'node:crypto';
import { promisify } from 'node:util';
import { ACCESS_LIMITS } from '../access-limits.ts';
import type { Random } from '../random.ts';

/**
 * What stands for a password in a users file:
 *
 * - `$scrypt$ln=14,r=8,p=1$SALT$HASH`: ours, in the PHC form (base64 without padding);
 * - `$7$ITERATIONS$SALT$HASH`: Mosquitto's since 2.0, PBKDF2 with HMAC-SHA512;
 * - `$6$SALT$HASH`: Mosquitto's before, SHA-512 of password and salt.
 */
export type PasswordEntry =
  | {
      readonly kind: 'scrypt';
      readonly log2: number;
      readonly blocks: number;
      readonly parallel: number;
      readonly salt: Buffer;
      readonly hash: Buffer;
    }
  | {
      readonly kind: 'pbkdf2';
      readonly iterations: number;
      readonly salt: Buffer;
      readonly hash: Buffer;
    }
  | { readonly kind: 'sha512'; readonly salt: Buffer; readonly hash: Buffer };

const scryptOf = promisify<
  Uint8Array,
  Uint8Array,
  number,
  { N: number; r: number; p: number; maxmem: number },
  Buffer
>(scrypt);
const pbkdf2Of = promisify(pbkdf2);

const BASE64 = '([A-Za-z0-9+/]+={0,2})';
const SCRYPT = new RegExp(
  `^\\$scrypt\\$ln=(\\d{1,2}),r=(\\d{1,3}),p=(\\d{1,3})\\$${BASE64}\\$${BASE64}$`,
  'u',
);
const PBKDF2 = new RegExp(`^\\$7\\$(\\d{1,9})\\$${BASE64}\\$${BASE64}$`, 'u');
const SHA512 = new RegExp(`^\\$6\\$${BASE64}\\$${BASE64}$`, 'u');
const SHA512_BYTES = 64;
/** Fewer would match by chance. */
const HASH_BYTES_MIN = 16;

/** undefined: it is none, or asks for more than ACCESS_LIMITS allows. */
export function parseEntry(text: string): PasswordEntry | undefined {
  const found = ofScrypt(text) ?? ofPbkdf2(text) ?? ofSha512(text);
  if (found === undefined || found.hash.length < HASH_BYTES_MIN) return undefined;
  return found.hash.length > SHA512_BYTES ? undefined : found;
}

function ofScrypt(text: string): PasswordEntry | undefined {
  const [whole, ln, r, p, salt = '', hash = ''] = SCRYPT.exec(text) ?? [];
  if (whole === undefined) return undefined;
  const [log2, blocks, parallel] = [Number(ln), Number(r), Number(p)];
  const isSound =
    log2 >= 1 &&
    blocks >= 1 &&
    parallel >= 1 &&
    parallel <= ACCESS_LIMITS.scryptParallelMax &&
    memoryOf(log2, blocks) <= ACCESS_LIMITS.scryptMemoryBytes;
  if (!isSound) return undefined;
  return { kind: 'scrypt', log2, blocks, parallel, salt: bytes(salt), hash: bytes(hash) };
}

function ofPbkdf2(text: string): PasswordEntry | undefined {
  const [whole, count, salt = '', hash = ''] = PBKDF2.exec(text) ?? [];
  const iterations = Number(count);
  if (whole === undefined || iterations < 1) return undefined;
  if (iterations > ACCESS_LIMITS.pbkdf2IterationsMax) return undefined;
  return { kind: 'pbkdf2', iterations, salt: bytes(salt), hash: bytes(hash) };
}

function ofSha512(text: string): PasswordEntry | undefined {
  const [whole, salt = '', hash = ''] = SHA512.exec(text) ?? [];
  return whole === undefined ? undefined : { kind: 'sha512', salt: bytes(salt), hash: bytes(hash) };
}

/** Does not hold up the event loop. */
export async function matchesEntry(entry: PasswordEntry, password: Uint8Array): Promise<boolean> {
  const hash = await hashFor(entry, password);
  return hash.length === entry.hash.length && timingSafeEqual(hash, entry.hash);
}

/** A new one, with ACCESS_LIMITS' parameters. */
export async function makeEntry(password: Uint8Array, random: Random): Promise<string> {
  const { scryptLog2: log2, scryptBlocks: blocks, scryptParallel: parallel } = ACCESS_LIMITS;
  const salt = Buffer.from(random.hex(ACCESS_LIMITS.scryptSaltBytes), 'hex');
  const blank = Buffer.alloc(ACCESS_LIMITS.scryptHashBytes);
  const hash = await hashFor(
    { kind: 'scrypt', log2, blocks, parallel, salt, hash: blank },
    password,
  );
  return `$scrypt$ln=${log2},r=${blocks},p=${parallel}$${base64(salt)}$${base64(hash)}`;
}

async function hashFor(entry: PasswordEntry, password: Uint8Array): Promise<Buffer> {
  const { salt, hash } = entry;
  switch (entry.kind) {
    case 'scrypt': {
      const { log2, blocks, parallel } = entry;
      const maxmem = 2 * memoryOf(log2, blocks) + 1_048_576 * parallel;
      const options = { N: 2 ** log2, r: blocks, p: parallel, maxmem };
      return scryptOf(password, salt, hash.length, options);
    }
    case 'pbkdf2':
      return pbkdf2Of(password, salt, entry.iterations, hash.length, 'sha512');
    case 'sha512':
      return createHash('sha512').update(password).update(salt).digest();
  }
}

function memoryOf(log2: number, blocks: number): number {
  return 128 * blocks * 2 ** log2;
}

function bytes(base64Text: string): Buffer {
  return Buffer.from(base64Text, 'base64');
}

function base64(value: Buffer): string {
  return value.toString('base64').replace(/=+$/u, '');
}
