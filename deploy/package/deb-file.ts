import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { constants, zstdCompress } from 'node:zlib';
import { tarOf } from './tar.ts';
import { addFile, type Tree, withFolders } from './tree.ts';

/** What a .deb file is made of. */
export interface DebParts {
  /** The fields of its control file, but for Installed-Size. */
  readonly control: Readonly<Record<string, string>>;
  /** preinst, postinst, prerm, postrm. */
  readonly scripts: Readonly<Record<string, string>>;
  /** Files of the tree that are a person's to change: dpkg keeps what was changed. */
  readonly conffiles: readonly string[];
  readonly tree: Tree;
  /** Seconds since 1970 that every file in it has. */
  readonly seconds: number;
  /** 1 to 22; small and slow is 19. */
  readonly level: number;
}

/**
 * deb(5): an ar archive of two tar archives. zstd instead of xz, since Node has it: one version, which the
 * lock file names, so the same bytes come out on every machine; and a Pi unpacks it five times as fast.
 * dpkg reads it since 1.21.18 (Debian 12).
 */
export async function debFile(parts: DebParts): Promise<Buffer> {
  const { seconds, level } = parts;
  const [control, data] = await Promise.all([
    compressed(tarOf(controlTree(parts), seconds), level),
    compressed(tarOf(parts.tree, seconds), level),
  ]);
  return Buffer.concat([
    Buffer.from('!<arch>\n'),
    ...member('debian-binary', Buffer.from('2.0\n'), seconds),
    ...member('control.tar.zst', control, seconds),
    ...member('data.tar.zst', data, seconds),
  ]);
}

function controlTree({ control, scripts, conffiles, tree }: DebParts): Tree {
  const made: Tree = new Map();
  const fields = { ...control, 'Installed-Size': String(installedKilobytes(tree)) };
  const lines = Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`);
  addFile(made, 'control', lines.join(''));
  addFile(made, 'md5sums', md5sums(tree, conffiles));
  addFile(made, 'conffiles', conffiles.map((path) => `/${path}\n`).join(''));
  for (const [name, text] of Object.entries(scripts)) addFile(made, name, text, 0o755);
  return made;
}

function md5sums(tree: Tree, conffiles: readonly string[]): string {
  return [...tree]
    .toSorted(([a], [b]) => (a < b ? -1 : 1))
    .flatMap(([path, entry]) => {
      if (entry.kind !== 'file' || conffiles.includes(path)) return [];
      return [`${createHash('md5').update(entry.bytes).digest('hex')}  ${path}\n`];
    })
    .join('');
}

/** As dpkg-gencontrol counts: files by whole kilobytes, and one for everything else. */
export function installedKilobytes(tree: Tree): number {
  let kilobytes = 0;
  for (const path of withFolders(tree)) {
    const entry = tree.get(path);
    kilobytes += entry?.kind === 'file' ? Math.ceil(entry.bytes.length / 1024) : 1;
  }
  return kilobytes;
}

/** 8 MiB are what unpacking takes of a small board's memory; a larger window saves 1 %. */
const WINDOW_LOG = 23;

function compressed(bytes: Buffer, level: number): Promise<Buffer> {
  const params = {
    [constants.ZSTD_c_compressionLevel]: level,
    [constants.ZSTD_c_windowLog]: WINDOW_LOG,
    [constants.ZSTD_c_checksumFlag]: 1,
  };
  return promisify(zstdCompress)(bytes, { params });
}

function member(name: string, bytes: Buffer, seconds: number): Buffer[] {
  const header =
    `${name.padEnd(16)}${String(seconds).padEnd(12)}${'0'.padEnd(6)}${'0'.padEnd(6)}` +
    `${'100644'.padEnd(8)}${String(bytes.length).padEnd(10)}\`\n`;
  return [Buffer.from(header), bytes, Buffer.alloc(bytes.length & 1, '\n')];
}
