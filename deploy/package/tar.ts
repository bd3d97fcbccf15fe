import { type Tree, withFolders } from './tree.ts';

/**
 * A tar archive (ustar) as dpkg wants it: everything root's, sorted, and of one time, so that the same tree is
 * the same bytes on every machine.
 */
export function tarOf(tree: Tree, seconds: number): Buffer {
  const parts: Buffer[] = [headerOf('./', { type: '5', mode: 0o755, size: 0, seconds })];
  for (const path of withFolders(tree)) {
    const name = `./${path}`;
    const entry = tree.get(path);
    if (entry === undefined) {
      parts.push(headerOf(name, { type: '5', mode: 0o755, size: 0, seconds }));
    } else if (entry.kind === 'link') {
      const { target } = entry;
      parts.push(headerOf(name, { type: '2', mode: 0o777, size: 0, seconds, target }));
    } else {
      const { mode, bytes } = entry;
      parts.push(headerOf(name, { type: '0', mode, size: bytes.length, seconds }), bytes);
      parts.push(Buffer.alloc(-bytes.length & (BLOCK - 1)));
    }
  }
  parts.push(Buffer.alloc(2 * BLOCK));
  return Buffer.concat(parts);
}

const BLOCK = 512;
const NAME_BYTES = 100;
const PREFIX_BYTES = 155;

interface Header {
  /** 0: file, 2: symbolic link, 5: folder. */
  readonly type: '0' | '2' | '5';
  readonly mode: number;
  readonly size: number;
  readonly seconds: number;
  readonly target?: string;
}

function headerOf(path: string, { type, mode, size, seconds, target = '' }: Header): Buffer {
  const [prefix, name] = split(path);
  const header = Buffer.alloc(BLOCK);
  header.write(name, 0);
  header.write(octal(mode, 7), 100);
  header.write(octal(0, 7), 108);
  header.write(octal(0, 7), 116);
  header.write(octal(size, 11), 124);
  header.write(octal(seconds, 11), 136);
  header.write(' '.repeat(8), 148);
  header.write(type, 156);
  if (Buffer.byteLength(target) > NAME_BYTES) throw new Error(`${path} leads too far for ustar`);
  header.write(target, 157);
  header.write('ustar\u000000', 257);
  header.write('root', 265);
  header.write('root', 297);
  header.write(prefix, 345);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${octal(sum, 6)}\0 `, 148);
  return header;
}

/** A long path stands in two fields, cut at a slash. */
function split(path: string): [prefix: string, name: string] {
  if (Buffer.byteLength(path) <= NAME_BYTES) return ['', path];
  for (let at = path.indexOf('/'); at !== -1; at = path.indexOf('/', at + 1)) {
    const [prefix, name] = [path.slice(0, at), path.slice(at + 1)];
    const fits = Buffer.byteLength(prefix) <= PREFIX_BYTES && name !== '';
    if (fits && Buffer.byteLength(name) <= NAME_BYTES) return [prefix, name];
  }
  throw new Error(`${path} is too long for ustar`);
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, '0');
}
