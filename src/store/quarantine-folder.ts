import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { messageOf, systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import { isoTime, type Clock } from '../time.ts';
import { formatSize } from '../units.ts';
import { counted } from '../words.ts';
import type { AsideNote } from './aside-note.ts';
import { bytesOf, kindOf, roomOf, syncPath } from './files.ts';

/** One thing in the folder, with what its note says. */
export interface AsideItem extends AsideNote {
  readonly name: string;
  /** What it was, as in `segment-42` or `state`. */
  readonly what: string;
  /** ISO 8601; undefined: the note is gone. */
  readonly when: string | undefined;
  /** Where it was, relative to the data folder. */
  readonly from: string | undefined;
  readonly bytes: number;
}

export const QUARANTINE = 'quarantine';
const NOTE_ENDING = '.json';
const NAME = /^(\d+)-(.+)$/u;
const COUNTER_DIGITS = 4;

/**
 * `DATA/quarantine/`: what could neither be read nor repaired, moved out of the way and kept for a
 * person. Each thing is `<counter>-<what>` with a note beside it, `<counter>-<what>.json`. A
 * rename needs no space, so it works on a full disk too; the note may be missing then.
 */
export class QuarantineFolder {
  readonly #data: string;
  readonly #logger: Logger;
  readonly #clock: Clock;
  readonly #maxBytes: number;
  /** They can't be removed. */
  readonly #stuck = new Set<string>();

  /** `maxBytes`: the cap of everything in the data folder. */
  constructor(dataFolder: string, logger: Logger, clock: Clock, maxBytes: number = Infinity) {
    this.#data = dataFolder;
    this.#logger = logger;
    this.#clock = clock;
    this.#maxBytes = maxBytes;
  }

  get #path(): string {
    return join(this.#data, QUARANTINE);
  }

  /** Made beforehand, because making it needs space. */
  async make(): Promise<void> {
    const kind = await kindOf(this.#path);
    if (kind === 'folder') return;
    const aside = `${this.#path}.aside`;
    if (kind !== 'nothing') await rename(this.#path, aside);
    await mkdir(this.#path);
    if (kind !== 'nothing') await this.take(aside, QUARANTINE, { why: 'a file stood here' });
  }

  /** Moves what is at `path` here; its new name, or undefined when nothing is there. */
  async take(path: string, what: string, note: AsideNote): Promise<string | undefined> {
    await this.make();
    const items = await listAside(this.#data);
    const last = items.reduce((most, { name }) => Math.max(most, Number.parseInt(name, 10)), 0);
    const name = `${String(last + 1).padStart(COUNTER_DIGITS, '0')}-${what}`;
    const bytes = await bytesOf(path);
    try {
      await rename(path, join(this.#path, name));
    } catch (error) {
      if (systemCodeOf(error) === 'ENOENT') return undefined;
      throw error;
    }
    await syncPath(dirname(path));
    await syncPath(this.#path);
    const from = path.startsWith(this.#data) ? path.slice(this.#data.length + 1) : basename(path);
    const when = isoTime(this.#clock.nowMs());
    await this.#writeNote(name, { name, what, when, from, bytes, ...note });
    this.#logger.error(
      { event: 'store.set-aside', what, from, name, bytes, ...note },
      `${from} was set aside as ${QUARANTINE}/${name}: ${note.why}`,
    );
    await this.#trim();
    return name;
  }

  /** The same; what can't be moved stays where it is. */
  async tryTake(path: string, what: string, note: AsideNote): Promise<void> {
    try {
      await this.take(path, what, note);
    } catch (error) {
      this.#logger.warn({ path, error: messageOf(error) }, 'it could not be set aside');
    }
  }

  /** Moves here what is at the path, if it is something else than that. */
  async clear(path: string, what: string, wanted: 'file' | 'folder'): Promise<void> {
    const kind = await kindOf(path);
    if (kind === wanted || kind === 'nothing') return;
    await this.take(path, what, { why: `it is no ${wanted}, and one is expected here` });
  }

  /** The same for everything in a database's folder, but for one name. */
  async clearIn(folder: string, what: string, except: string): Promise<void> {
    for (const file of await readdir(folder)) {
      if (file !== except) await this.clear(join(folder, file), `${what}-${file}`, 'file');
    }
  }

  /** Adds what became known later. */
  async annotate(name: string, note: Partial<AsideNote>): Promise<void> {
    const item = await readItem(this.#data, name);
    await this.#writeNote(name, { ...item, ...note });
  }

  /** A note that can't be written (the disk is full) changes nothing of what was done. */
  async #writeNote(name: string, item: AsideItem): Promise<void> {
    try {
      const file = join(this.#path, name + NOTE_ENDING);
      await writeFile(file, `${JSON.stringify(item, undefined, 2)}\n`);
    } catch (error) {
      this.#logger.warn(
        { name, error: messageOf(error) },
        'the note to what was set aside could not be written',
      );
    }
  }

  /**
   * Removes the oldest for their space, until so much is given back or nothing is left. Resolves with
   * how much that was. What can't be removed is passed over, and said once.
   */
  async giveBack(bytes: number): Promise<number> {
    const names: string[] = [];
    let given = 0;
    for (const { name, bytes: own } of await listAside(this.#data)) {
      if (given >= bytes) break;
      if (this.#stuck.has(name)) continue;
      try {
        await this.#remove(name);
      } catch (error) {
        this.#stuck.add(name);
        this.#logger.warn({ name, error: messageOf(error) }, 'what was set aside can’t be removed');
        continue;
      }
      given += own;
      names.push(name);
    }
    if (names.length > 0) {
      this.#logger.warn(
        { event: 'store.aside-removed', names, bytes: given },
        `${counted(names.length, 'thing')} of ${QUARANTINE}/ with ${formatSize(given)} were removed, the ` +
          `oldest first: there is no other room for records that no mirror has had`,
      );
    }
    return given;
  }

  async #remove(name: string): Promise<void> {
    await rm(join(this.#path, name), { recursive: true, force: true });
    await rm(join(this.#path, name + NOTE_ENDING), { force: true });
  }

  /** What may be set aside: little on a small disk, and below a small cap. */
  async #bound(): Promise<number> {
    const { totalBytes } = await roomOf(this.#data).catch(() => ({ totalBytes: Infinity }));
    const share = Math.floor(Math.min(totalBytes, this.#maxBytes) * LIMITS.asideShare);
    return Math.min(LIMITS.asideBytes, share);
  }

  /** The newest is kept whatever its size. */
  async #trim(): Promise<void> {
    const items = await listAside(this.#data);
    const bound = await this.#bound();
    let bytes = items.reduce((sum, item) => sum + item.bytes, 0);
    for (const [index, item] of items.slice(0, -1).entries()) {
      const count = items.length - index;
      if (count <= LIMITS.asideItems && bytes <= bound) return;
      await this.#remove(item.name);
      bytes -= item.bytes;
      this.#logger.warn(
        { event: 'store.aside-removed', ...item },
        `${QUARANTINE}/${item.name} was removed, the oldest of what was set aside: the folder is at ` +
          `its bound of ${formatSize(bound)} and ${LIMITS.asideItems} items`,
      );
    }
  }
}

/** Oldest first. Reads only; empty when there is no such folder. */
export async function listAside(dataFolder: string): Promise<AsideItem[]> {
  const names = await readdir(join(dataFolder, QUARANTINE)).catch(() => []);
  const items: AsideItem[] = [];
  for (const name of names) {
    if (!NAME.test(name) || name.endsWith(NOTE_ENDING)) continue;
    items.push(await readItem(dataFolder, name));
  }
  return items.toSorted((a, b) => Number.parseInt(a.name, 10) - Number.parseInt(b.name, 10));
}

async function readItem(dataFolder: string, name: string): Promise<AsideItem> {
  const path = join(dataFolder, QUARANTINE, name);
  const [, , what = name] = NAME.exec(name) ?? [];
  const bare = { name, what, when: undefined, from: undefined, why: 'its note is missing' };
  try {
    const note = JSON.parse(await readFile(path + NOTE_ENDING, 'utf8')) as Partial<AsideItem>;
    return { ...bare, ...note, name, bytes: note.bytes ?? (await bytesOf(path)) };
  } catch {
    return { ...bare, bytes: await bytesOf(path) };
  }
}
