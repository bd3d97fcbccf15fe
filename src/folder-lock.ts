import { readFile, readdir, readlink, realpath, stat } from 'node:fs/promises';
import { join } from 'node:path';

interface FoundLock {
  readonly pid: string;
  /** As `major:minor`, hexadecimal. */
  readonly device: string;
  readonly inode: string;
}

/**
 * Whether a process holds LevelDB's lock on the database in `folder`, as the kernel tells it (proc(5),
 * `locks`), so that nothing has to be opened for it. False where that can't be known.
 */
export async function isLocked(folder: string): Promise<boolean> {
  const path = join(folder, 'LOCK');
  try {
    const { dev, ino } = await stat(path);
    const same = locksIn(await readFile('/proc/locks', 'utf8')).filter(
      ({ inode }) => inode === String(ino),
    );
    const real = await realpath(path);
    for (const { pid, device } of same) {
      // Some file systems have one number for the kernel and another for everybody else.
      if (device === deviceText(dev) || (await hasOpen(pid, real))) return true;
    }
    return false;
  } catch {
    return false;
  }
}

/** LevelDB's are of this kind. */
export function locksIn(text: string): FoundLock[] {
  return text.split('\n').flatMap((line) => {
    const found = /^\d+: POSIX +ADVISORY +WRITE +(\d+) ([\da-f]+:[\da-f]+):(\d+) /u.exec(line);
    if (found === null) return [];
    const [, pid = '', device = '', inode = ''] = found;
    return [{ pid, device, inode }];
  });
}

/** As glibc takes a device's number apart. */
function deviceText(dev: number): string {
  const number = BigInt(dev);
  const major = ((number >> 8n) & 0xfffn) | ((number >> 32n) & ~0xfffn);
  const minor = (number & 0xffn) | ((number >> 12n) & ~0xffn);
  return `${twoDigits(major)}:${twoDigits(minor)}`;
}

function twoDigits(number: bigint): string {
  return number.toString(16).padStart(2, '0');
}

async function hasOpen(pid: string, path: string): Promise<boolean> {
  const folder = `/proc/${pid}/fd`;
  for (const name of await readdir(folder).catch(() => [])) {
    if ((await readlink(join(folder, name)).catch(() => '')) === path) return true;
  }
  return false;
}
