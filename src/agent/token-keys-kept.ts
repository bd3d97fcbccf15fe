import { createHash } from 'node:crypto';
import { open, readFile, rename, rm, stat } from 'node:fs/promises';
import path from 'node:path';
import { ACCESS_LIMITS } from '../access-limits.ts';
import { systemCodeOf } from '../errors.ts';
import { reasonOf } from './config-document.ts';
import type { KeptKeysPlace } from './token-key.ts';

export interface KeptKeys {
  readonly text: string;
  /** By the wall clock; null: it was not believed then. */
  readonly hadMs: number | null;
}

interface Stored extends KeptKeys {
  readonly url: string;
  readonly check: string;
}

/** Beside the set of keys itself, which JSON may write longer than it is. */
const MOST_BYTES = ACCESS_LIMITS.tokenKeysBytes * 2 + 1024;

/**
 * The set of keys that a URL gave last, in the data folder, for starts without a link. Only who runs gatelog may
 * write it: whoever changes it can log in as anybody.
 */
export class TokenKeysFile {
  readonly #file: string;
  readonly #isReadOnly: boolean;
  readonly #url: string;

  constructor({ file, isReadOnly }: KeptKeysPlace, url: string) {
    this.#file = file;
    this.#isReadOnly = isReadOnly;
    this.#url = url;
  }

  /** undefined: there are none, or those of another URL. Throws where they can't be used. */
  async read(): Promise<KeptKeys | undefined> {
    let stored: Stored;
    try {
      await this.#isSafe();
      stored = JSON.parse(await readFile(this.#file, 'utf8')) as Stored;
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      const why = error instanceof SyntaxError ? 'it is damaged' : reasonOf(error);
      throw new Error(`${this.#file} can't be used: ${why}`, { cause: error });
    }
    const { url, text, hadMs, check } = stored;
    if (url !== this.#url) return undefined;
    if (check !== checkOf({ url, text, hadMs })) {
      throw new Error(`${this.#file} can't be used: it is damaged`);
    }
    return { text, hadMs };
  }

  /** In one step: after a power cut the old ones are there, or these. */
  async write({ text, hadMs }: KeptKeys): Promise<void> {
    if (this.#isReadOnly) return;
    const url = this.#url;
    const stored: Stored = { url, text, hadMs, check: checkOf({ url, text, hadMs }) };
    const fresh = `${this.#file}.new`;
    await rm(fresh, { force: true });
    const handle = await open(fresh, 'wx', 0o600);
    try {
      await handle.writeFile(JSON.stringify(stored));
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(fresh, this.#file);
    const folder = await open(path.dirname(this.#file), 'r');
    try {
      await folder.sync();
    } finally {
      await folder.close();
    }
  }

  async #isSafe(): Promise<void> {
    const { uid, mode, size } = await stat(this.#file);
    const isOurs = uid === process.getuid?.() || uid === 0;
    if (!isOurs || (mode & 0o077) !== 0) {
      throw new Error('others than gatelog may change or read it (its mode must be 0600)');
    }
    if (size > MOST_BYTES) throw new Error('it is too large');
  }
}

function checkOf({ url, text, hadMs }: Omit<Stored, 'check'>): string {
  return createHash('sha256')
    .update(JSON.stringify([url, text, hadMs]))
    .digest('hex');
}
