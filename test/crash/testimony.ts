import { existsSync, readFileSync } from 'node:fs';
import { dirname } from 'node:path';
import type { Random } from '../../src/random.ts';
import { type DiskNode, type FileNode, type FolderNode, nameOf, Names } from './disk-tree.ts';

/**
 * How a disk treats directory entries that no sync covered.
 * - `ordered`: as ext4 and xfs, where every sync commits all changes of names before it, and what a
 *   cut leaves of the rest is a prefix of them, over all folders.
 * - `strict`: as POSIX has it. Only a sync of the folder itself covers its names, a file's own sync
 *   does not; each folder keeps a prefix of its changes.
 */
export type DiskManner = 'ordered' | 'strict';

export type ChangeKind = 'create' | 'folder' | 'remove' | 'rename';

/** One change of names. */
interface Change {
  readonly kind: ChangeKind;
  /** Where its line ends in the log. */
  readonly at: number;
  readonly path: string;
  readonly folder: FolderNode;
  apply(names: Names): void;
}

export interface Reading {
  /** The names after the cut. */
  readonly names: Names;
  /** Changes that no sync covered, and how many of them the cut took back. */
  readonly loose: readonly { readonly kind: ChangeKind; readonly path: string }[];
  readonly undone: number;
  /** Differences between the real folder and what was told: calls that the witness does not see. */
  readonly untold: readonly string[];
  /** Changes of bytes that sizes do not tell of. */
  readonly unfollowed: readonly string[];
}

/** What the witness told since the power was last on, and what a cut makes of it. */
export class Testimony {
  readonly #files = new Map<string, FileNode>();
  readonly #before: Names;
  readonly #now: Names;
  readonly #changes: Change[] = [];
  readonly #unfollowed: string[] = [];
  /** Up to where in the log names are covered: by any sync, and by syncs of the folder. */
  #coveredByAny = 0;
  readonly #coveredByFolder = new Map<FolderNode, number>();
  #at = 0;

  /** Everything that stands below `root` is on the disk. */
  constructor(root: string) {
    this.#before = Names.read(root, (ino, size) => this.#file(ino, size));
    this.#now = this.#before.copy();
  }

  /** Takes what the log says, and what the real folder shows; decides by chance what is left. */
  cut(log: string, manner: DiskManner, random: Random): Reading {
    const text = existsSync(log) ? readFileSync(log) : Buffer.alloc(0);
    this.#hear(text);
    const untold = this.#reconcile();
    const loose = this.#changes.filter((change) => change.at > this.#covered(change, manner));
    const kept = new Set(this.#keep(loose, manner, random));
    const names = this.#before.copy();
    const gone = new Set(loose.filter((change) => !kept.has(change)));
    for (const change of this.#changes) if (!gone.has(change)) change.apply(names);
    return { names, loose, undone: gone.size, untold, unfollowed: this.#unfollowed };
  }

  #file(ino: string, covered: number): FileNode {
    const node: FileNode = { kind: 'file', ino, covered };
    this.#files.set(ino, node);
    return node;
  }

  #hear(log: Buffer): void {
    let from = 0;
    for (;;) {
      const end = log.indexOf(0x0a, from);
      if (end < 0) return;
      this.#at = end + 1;
      this.#line(log.toString('utf8', from, end).split('\t'));
      from = end + 1;
    }
  }

  #line([verb, ...fields]: readonly string[]): void {
    const [first = '', second = '', third = ''] = fields;
    const now = this.#now;
    if (verb === 'C') this.#appears('create', second, this.#file(first, 0));
    else if (verb === 'M') this.#appears('folder', first, { kind: 'folder' });
    else if (verb === 'U') this.#disappears(second);
    else if (verb === 'X') this.#disappears(first);
    else if (verb === 'R') this.#renamed(second, third);
    else if (verb === 'T') this.#truncated(first, Number(second));
    else if (verb === 'S') this.#synced(Number(first), second, Number(third));
    else if (verb === 'D') this.#folderSynced(Number(first), now.find(second));
    else this.#unfollowed.push(fields.join(' '));
  }

  #synced(seen: number, ino: string, size: number): void {
    const file = this.#files.get(ino);
    if (file !== undefined) file.covered = Math.max(file.covered, size);
    this.#coveredByAny = Math.max(this.#coveredByAny, seen);
  }

  #folderSynced(seen: number, folder: DiskNode | undefined): void {
    this.#coveredByAny = Math.max(this.#coveredByAny, seen);
    if (folder?.kind !== 'folder') return;
    this.#coveredByFolder.set(folder, Math.max(seen, this.#coveredByFolder.get(folder) ?? 0));
  }

  /** What was there before is not brought back: the next life must not need it. */
  #truncated(ino: string, size: number): void {
    const file = this.#files.get(ino);
    if (file !== undefined) file.covered = Math.min(file.covered, size);
  }

  #appears(kind: ChangeKind, path: string, node: DiskNode): void {
    const folder = this.#now.folderOf(path);
    if (folder === undefined) return; // Told of below, as a difference from the real folder.
    this.#change({
      kind,
      at: this.#at,
      path,
      folder,
      apply: (names) => names.in(folder).set(nameOf(path), node),
    });
  }

  #disappears(path: string): void {
    const folder = this.#now.folderOf(path);
    if (folder === undefined) return;
    this.#change({
      kind: 'remove',
      at: this.#at,
      path,
      folder,
      apply: (names) => names.in(folder).delete(nameOf(path)),
    });
  }

  #renamed(from: string, to: string): void {
    const node = this.#now.find(from);
    const source = this.#now.folderOf(from);
    const folder = this.#now.folderOf(to);
    if (node === undefined || source === undefined || folder === undefined) return;
    this.#change({
      kind: 'rename',
      at: this.#at,
      path: to,
      folder,
      apply: (names) => {
        names.in(source).delete(nameOf(from));
        names.in(folder).set(nameOf(to), node);
      },
    });
  }

  #change(change: Change): void {
    this.#changes.push(change);
    change.apply(this.#now);
  }

  /**
   * A kill between a change and its line leaves the change untold, once for each thread at most. It
   * counts as the last one, covered by nothing.
   */
  #reconcile(): string[] {
    const untold: string[] = [];
    const real = Names.read(this.#now.root, (ino, size) => this.#files.get(ino) ?? this.#file(ino, 0));
    this.#at = Number.MAX_SAFE_INTEGER;
    for (const [path, node] of [...this.#now.walk()]) {
      const found = real.find(path);
      const same = found?.kind === node.kind && (node.kind === 'folder' || found === node);
      if (same) continue;
      untold.push(`gone or another: ${path}`);
      if (this.#now.find(dirname(path)) !== undefined) this.#disappears(path);
    }
    for (const [path, node] of real.walk()) {
      if (this.#now.find(path) !== undefined) continue;
      untold.push(`appeared: ${path}`);
      this.#appears('create', path, node.kind === 'folder' ? { kind: 'folder' } : node);
    }
    return untold;
  }

  #covered(change: Change, manner: DiskManner): number {
    if (manner === 'ordered') return this.#coveredByAny;
    return this.#coveredByFolder.get(change.folder) ?? 0;
  }

  /** Of all changes together, or of each folder's own, the first so many. */
  #keep(loose: readonly Change[], manner: DiskManner, random: Random): Change[] {
    if (manner === 'ordered') return prefixOf(loose, random);
    const groups = Map.groupBy(loose, ({ folder }) => folder);
    return [...groups.values()].flatMap((changes) => prefixOf(changes, random));
  }
}

function prefixOf<T>(items: readonly T[], random: Random): T[] {
  const fate = random.next();
  if (fate < 0.4) return [];
  if (fate < 0.6) return [...items];
  return items.slice(0, Math.floor(random.next() * (items.length + 1)));
}
