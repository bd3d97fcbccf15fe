import { readdirSync, statSync } from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * Folders and files below a root by identity, apart from the question of which names they stand
 * under: that is a Names, and there may be several of the same disk (before, now, after a cut).
 */
export interface FileNode {
  readonly kind: 'file';
  /** Inode number; the witness keeps every file's inode alive, so it stands for one file. */
  readonly ino: string;
  /** Bytes from its beginning that a sync covered. */
  covered: number;
}

export interface FolderNode {
  readonly kind: 'folder';
  readonly ino: string;
}

export type DiskNode = FileNode | FolderNode;

export class Names {
  readonly root: string;
  readonly top: FolderNode;
  readonly #entries: Map<FolderNode, Map<string, DiskNode>>;

  private constructor(
    root: string,
    top: FolderNode,
    entries: Map<FolderNode, Map<string, DiskNode>>,
  ) {
    this.root = root;
    this.top = top;
    this.#entries = entries;
  }

  /** What stands on the real disk, sockets left out; `fileOf` gives the node of an inode. */
  static read(root: string, fileOf: (ino: string, size: number) => FileNode): Names {
    const entries = new Map<FolderNode, Map<string, DiskNode>>();
    const read = (path: string): FolderNode => {
      const ino = String(statSync(path, { bigint: true }).ino);
      const folder: FolderNode = { kind: 'folder', ino };
      const names = new Map<string, DiskNode>();
      entries.set(folder, names);
      for (const entry of readdirSync(path, { withFileTypes: true })) {
        const below = join(path, entry.name);
        if (entry.isDirectory()) names.set(entry.name, read(below));
        if (!entry.isFile()) continue;
        const found = statSync(below, { bigint: true });
        names.set(entry.name, fileOf(String(found.ino), Number(found.size)));
      }
      return folder;
    };
    return new Names(root, read(root), entries);
  }

  copy(): Names {
    const entries = [...this.#entries].map(([folder, names]) => [folder, new Map(names)] as const);
    return new Names(this.root, this.top, new Map(entries));
  }

  find(path: string): DiskNode | undefined {
    if (path === this.root) return this.top;
    const folder = this.find(dirname(path));
    return folder?.kind === 'folder' ? this.in(folder).get(nameOf(path)) : undefined;
  }

  /** The folder that holds the last name of the path. */
  folderOf(path: string): FolderNode | undefined {
    const folder = this.find(dirname(path));
    return folder?.kind === 'folder' ? folder : undefined;
  }

  in(folder: FolderNode): Map<string, DiskNode> {
    let names = this.#entries.get(folder);
    if (names === undefined) this.#entries.set(folder, (names = new Map()));
    return names;
  }

  /** Every file and folder below the root, a folder before what it holds. */
  *walk(from: FolderNode = this.top, path: string = this.root): Generator<[string, DiskNode]> {
    for (const [name, node] of this.in(from)) {
      const below = join(path, name);
      yield [below, node];
      if (node.kind === 'folder') yield* this.walk(node, below);
    }
  }
}

export function nameOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}
