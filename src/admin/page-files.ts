import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { promisify } from 'node:util';
import { gzip } from 'node:zlib';

const TYPES: ReadonlyMap<string, string> = new Map([
  ['.html', 'text/html; charset=utf-8'],
  ['.css', 'text/css; charset=utf-8'],
  ['.js', 'text/javascript; charset=utf-8'],
  ['.svg', 'image/svg+xml'],
]);

export interface PageFile {
  readonly name: string;
  readonly type: string;
  readonly etag: string;
  readonly whole: Buffer;
  readonly packed: Buffer;
}

/** Where a build puts the page: beside us, or, for an agent that runs from its sources, where it was last built. */
const FOLDERS = ['../page', '../../dist/page'] as const;

/** The status page as it was built; empty: it was not. */
export async function loadPage(): Promise<readonly PageFile[]> {
  for (const folder of FOLDERS) {
    const at = path.join(import.meta.dirname, folder);
    const names = await readdir(at).catch((): string[] => []);
    if (!names.includes('main.js')) continue;
    const wanted = names.filter((name) => TYPES.has(path.extname(name)));
    return Promise.all(wanted.map((name) => loadFile(at, name)));
  }
  return [];
}

async function loadFile(folder: string, name: string): Promise<PageFile> {
  const whole = await readFile(path.join(folder, name));
  const packed = await promisify(gzip)(whole, { level: 9 });
  const etag = `"${createHash('sha256').update(whole).digest('base64url').slice(0, 22)}"`;
  return { name, type: TYPES.get(path.extname(name)) ?? '', etag, whole, packed };
}
