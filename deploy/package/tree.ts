/** What a package puts on a system: by path without the first slash. Folders are made as needed. */
export type Tree = Map<string, Entry>;

export type Entry =
  | { readonly kind: 'file'; readonly mode: 0o644 | 0o755; readonly bytes: Buffer }
  | { readonly kind: 'link'; readonly target: string };

export function addFile(
  tree: Tree,
  path: string,
  content: Buffer | string,
  mode: 0o644 | 0o755 = 0o644,
): void {
  if (tree.has(path)) throw new Error(`${path} is in the package twice`);
  tree.set(path, { kind: 'file', mode, bytes: Buffer.from(content) });
}

export function addLink(tree: Tree, path: string, target: string): void {
  if (tree.has(path)) throw new Error(`${path} is in the package twice`);
  tree.set(path, { kind: 'link', target });
}

/** In one order on every machine, each folder before what is in it. */
export function withFolders(tree: Tree): string[] {
  const folders = new Set<string>();
  for (const path of tree.keys()) {
    for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
      folders.add(path.slice(0, at + 1));
    }
  }
  return [...folders, ...tree.keys()].toSorted((a, b) => (a < b ? -1 : 1));
}
