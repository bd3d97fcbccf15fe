import { existsSync, readFileSync } from 'node:fs';
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
  /** Changes that a kill left without their lines. */
  readonly untold: number;
  /** What the witness does not see, or what sizes do not tell of. */
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
  /** Where the line that is being heard ends; where the next one begins. */
  #at = 0;
  #untold = 0;

  /** Everything that stands below `root` is on the disk. */
  constructor(root: string) {
    this.#before = Names.read(root, (ino, size) => this.#file(ino, size));
    this.#now = this.#before.copy();
  }

  /**
   * After the death of every process, and before the next one begins: takes what the log says, and
   * what the real folder shows beyond it: a kill may leave one change without its line.
   */
  listen(log: string): void {
    this.#hear(existsSync(log) ? readFileSync(log) : Buffer.alloc(0));
    this.#reconcile();
  }

  /** Decides by chance what a cut leaves. */
  cut(manner: DiskManner, random: Random): Reading {
    const loose = this.#changes.filter((change) => change.at > this.#covered(change, manner));
    const kept = new Set(this.#keep(loose, manner, random));
    const names = this.#before.copy();
    const gone = new Set(loose.filter((change) => !kept.has(change)));
    for (const change of this.#changes) if (!gone.has(change)) change.apply(names);
    const told = { untold: this.#untold, unfollowed: this.#unfollowed };
    return { names, loose, undone: gone.size, ...told };
  }

  #file(ino: string, covered: number): FileNode {
    const node: FileNode = { kind: 'file', ino, covered };
    this.#files.set(ino, node);
    return node;
  }

  #hear(log: Buffer): void {
    for (;;) {
      const from = this.#at;
      const end = log.indexOf(0x0a, from);
      if (end < 0) return;
      this.#at = end + 1;
      this.#line(log.toString('utf8', from, end).split('\t'));
    }
  }

  #line([verb, ...fields]: readonly string[]): void {
    const [first = '', second = '', third = ''] = fields;
    const now = this.#now;
    if (verb === 'C') this.#appears('create', second, this.#file(first, 0));
    else if (verb === 'L') this.#linked(first, second);
    else if (verb === 'M') this.#appears('folder', second, { kind: 'folder', ino: first });
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
    if (folder === undefined) return; // It shows as a difference from the real folder.
    this.#change({
      kind,
      at: this.#at,
      path,
      folder,
      apply: (names) => names.in(folder).set(nameOf(path), node),
    });
  }

  #linked(ino: string, path: string): void {
    const file = this.#files.get(ino);
    if (file === undefined) this.#unfollowed.push(`link ${path}`);
    else this.#appears('create', path, file);
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

  #reconcile(): void {
    const now = this.#now;
    const real = Names.read(now.root, (ino, size) => {
      const file = this.#files.get(ino) ?? this.#file(ino, 0);
      file.covered = Math.min(file.covered, size);
      return file;
    });
    const gone = differences(now, real);
    const here = differences(real, now);
    if (gone.size === 0 && here.size === 0) return;
    this.#untold++;
    const [[path, node] = ['', undefined]] = here;
    const from = [...gone].find(([, { ino }]) => ino === node?.ino)?.[0];
    const explained = Number(from !== undefined) + Number(gone.has(path));
    if (here.size > 1 || gone.size - explained > (here.size === 0 ? 1 : 0)) {
      this.#unfollowed.push(`changes without a line: ${[...gone.keys(), path].join(' ')}`);
    } else if (node === undefined) {
      for (const old of gone.keys()) this.#disappears(old);
    } else if (from !== undefined) {
      this.#renamed(from, path);
    } else {
      this.#appears(node.kind === 'folder' ? 'folder' : 'create', path, node);
    }
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

/** What stands in `one` and not so in `other`, by path; of a folder only itself, not what it holds. */
function differences(one: Names, other: Names): Map<string, DiskNode> {
  const found = new Map<string, DiskNode>();
  for (const [path, node] of one.walk()) {
    const isBelow = [...found.keys()].some((above) => path.startsWith(`${above}/`));
    if (!isBelow && other.find(path)?.ino !== node.ino) found.set(path, node);
  }
  return found;
}

function prefixOf<T>(items: readonly T[], random: Random): T[] {
  const fate = random.next();
  if (fate < 0.4) return [];
  if (fate < 0.6) return [...items];
  return items.slice(0, Math.floor(random.next() * (items.length + 1)));
}
