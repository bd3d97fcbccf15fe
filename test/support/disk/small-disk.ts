import { closeSync, fsyncSync, mkdirSync, openSync, rmSync, statfsSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { systemCodeOf } from '../../../src/errors.ts';
import { runChecked } from '../process.ts';
import { FailIo } from './fail-io.ts';

/** A disk small enough to be filled. */
export interface SmallDisk {
  /** A data folder may be made in it. */
  readonly folder: string;
  /** For the agent on it. */
  readonly env: Readonly<Record<string, string>>;
  /** Takes all that is free, or all but `leaveBytes`. */
  fill(leaveBytes?: number): void;
  /** Gives that back. */
  empty(): void;
  freeBytes(): number;
  remove(): Promise<void>;
}

export type DiskKind = 'tmpfs' | 'ext4';

/** A mount of its own for root; for anybody else a disk with the same bounds by fail-io.c. */
export async function makeSmallDisk(
  work: string,
  kind: DiskKind,
  bytes: number,
): Promise<SmallDisk> {
  const folder = join(work, kind);
  mkdirSync(folder, { recursive: true });
  if (process.getuid?.() !== 0 || process.env['GATELOG_NO_MOUNTS'] !== undefined) {
    return boundedDisk(work, folder, bytes);
  }
  if (kind === 'tmpfs') {
    await runChecked({
      command: 'mount',
      args: ['-t', 'tmpfs', '-o', `size=${bytes}`, 'tmpfs', folder],
    });
  } else {
    const image = join(work, 'ext4.img');
    await runChecked({ command: 'truncate', args: ['-s', String(bytes), image] });
    // Root may not have blocks of its own: the agent of this test is root.
    await runChecked({
      command: 'mkfs.ext4',
      args: ['-q', '-m', '0', '-O', '^has_journal', image],
    });
    await runChecked({ command: 'mount', args: ['-o', 'loop', image, folder] });
  }
  return new MountedDisk(folder);
}

class MountedDisk implements SmallDisk {
  readonly folder: string;
  readonly env = {};

  constructor(folder: string) {
    this.folder = folder;
  }

  fill(leaveBytes: number = 0): void {
    const file = openSync(this.#ballast, 'a');
    // All of it is until nothing can be written any more, not what statfs says.
    let left = leaveBytes === 0 ? Infinity : this.freeBytes() - leaveBytes;
    for (const size of [1_048_576, 65_536, 4096]) {
      const chunk = Buffer.alloc(size, 0xa5);
      try {
        while (left >= size) left -= writeSync(file, chunk);
      } catch (error) {
        if (systemCodeOf(error) !== 'ENOSPC') throw error;
      }
    }
    fsyncSync(file);
    closeSync(file);
  }

  empty(): void {
    rmSync(this.#ballast, { force: true });
  }

  freeBytes(): number {
    const { bavail, bsize } = statfsSync(this.folder);
    return bavail * bsize;
  }

  async remove(): Promise<void> {
    await runChecked({ command: 'umount', args: [this.folder] });
  }

  get #ballast(): string {
    return join(this.folder, 'ballast');
  }
}

async function boundedDisk(work: string, folder: string, bytes: number): Promise<SmallDisk> {
  const failIo = await FailIo.prepare(work, join(folder, 'data'));
  failIo.set({ limited: 1, free: bytes, total: bytes });
  let ballast = 0;
  return {
    folder,
    env: failIo.env,
    fill: (leaveBytes = 0) => {
      const taken = failIo.get('free') - leaveBytes;
      ballast += taken;
      failIo.set({ free: leaveBytes });
    },
    empty: () => {
      failIo.set({ free: failIo.get('free') + ballast });
      ballast = 0;
    },
    freeBytes: () => failIo.get('free'),
    remove: async () => {},
  };
}
