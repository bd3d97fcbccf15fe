import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { kernelSource, type WrittenCounts } from '../../src/agent/wear-files.ts';

/**
 * Where bytes are counted: an ext4 file system with its defaults on a loop device of its own, which
 * nobody else writes to, if we may make one; else a plain folder, and then only what this process
 * made dirty is known.
 */
export interface WearPlace {
  readonly folder: string;
  readonly what: string;
  /** Bytes written so far. */
  counts(): Promise<WrittenCounts>;
  /** The same after everything that waited in memory was written too. */
  written(): Promise<WrittenCounts>;
  remove(): void;
}

const IMAGE_BYTES = 6 * 1024 ** 3;

export async function makePlace(options: readonly string[] = []): Promise<WearPlace> {
  const root = mkdtempSync(join(process.env['BENCH_DIR'] ?? '/var/tmp', 'gatelog-wear-'));
  const remove = (): void => rmSync(root, { recursive: true, force: true });
  try {
    return await onLoop(root, options, remove);
  } catch (error) {
    const source = await kernelSource(root);
    const reason = error instanceof Error ? error.message.split('\n')[0] : String(error);
    const counts = async (): Promise<WrittenCounts> => ({
      ...(await source.read()),
      volumeBytes: undefined,
      diskBytes: undefined,
    });
    const what = `a plain folder: only this process is counted (no loop device: ${reason})`;
    return { folder: root, what, counts, written: counts, remove };
  }
}

async function onLoop(
  root: string,
  options: readonly string[],
  removeRoot: () => void,
): Promise<WearPlace> {
  const image = join(root, 'image');
  const folder = join(root, 'mounted');
  const run = (command: string, ...args: string[]): void => {
    execFileSync(command, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  };
  run('truncate', '-s', String(IMAGE_BYTES), image);
  // Everything laid out at once: the kernel's lazy initialisation would be counted as ours.
  const layout = 'lazy_itable_init=0,lazy_journal_init=0';
  run('mkfs.ext4', '-q', '-E', layout, ...options, image);
  run('mkdir', folder);
  run('mount', '-o', 'loop', image, folder);
  const remove = (): void => {
    run('umount', folder);
    removeRoot();
  };
  try {
    const source = await kernelSource(folder);
    return {
      folder,
      counts: () => source.read(),
      what: ['ext4 with its defaults on a loop device', ...options].join(' '),
      written: async () => {
        run('sync', '-f', folder);
        return source.read();
      },
      remove,
    };
  } catch (error) {
    remove();
    throw error;
  }
}
