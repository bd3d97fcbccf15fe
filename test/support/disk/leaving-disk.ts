import { mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { runChecked } from '../process.ts';
import { FailIo } from './fail-io.ts';

/** A disk that turns read-only under who writes to it, and that can be pulled out. */
export interface LeavingDisk {
  /** Made, and on the disk. */
  readonly data: string;
  /** For the agent on it. */
  readonly env: Readonly<Record<string, string>>;
  /** As a kernel does that finds the file system in disorder. */
  turnReadOnly(): void;
  /** The folder it was mounted on is there, and empty. Who has files open keeps them. */
  leave(): Promise<void>;
  /** What stands where it was. */
  left(): string[];
  comeBack(): Promise<void>;
  remove(): Promise<void>;
}

/** ext4 in a file for root; for anybody else writes fail by fail-io.c, and the folder is renamed. */
export async function makeLeavingDisk(work: string): Promise<LeavingDisk> {
  const place = join(work, 'mount');
  mkdirSync(place);
  const root = process.getuid?.() === 0 && process.env['GATELOG_NO_MOUNTS'] === undefined;
  return root ? MountedDisk.make(work, place) : shimmedDisk(work, place);
}

class MountedDisk implements LeavingDisk {
  readonly env = {};
  readonly data: string;
  readonly #place: string;
  readonly #image: string;
  readonly #devices: string[] = [];

  private constructor(place: string, image: string) {
    this.#place = place;
    this.#image = image;
    this.data = join(place, 'data');
  }

  static async make(work: string, place: string): Promise<MountedDisk> {
    const image = join(work, 'leaving.img');
    await runChecked({ command: 'truncate', args: ['-s', '96M', image] });
    await runChecked({ command: 'mkfs.ext4', args: ['-q', '-m', '0', image] });
    const disk = new MountedDisk(place, image);
    await disk.comeBack();
    mkdirSync(disk.data);
    return disk;
  }

  turnReadOnly(): void {
    const device = basename(this.#devices.at(-1) ?? '');
    writeFileSync(`/sys/fs/ext4/${device}/trigger_fs_error`, 'a test of gatelog');
  }

  async leave(): Promise<void> {
    await runChecked({ command: 'umount', args: ['-l', this.#place] });
  }

  left(): string[] {
    return readdirSync(this.#place);
  }

  /** By a device of its own: as long as a file is open the old one stays, in the state it was in. */
  async comeBack(): Promise<void> {
    const losetup = await runChecked({ command: 'losetup', args: ['-f', '--show', this.#image] });
    const device = losetup.stdout.trim();
    this.#devices.push(device);
    const args = ['-o', 'errors=remount-ro', device, this.#place];
    await runChecked({ command: 'mount', args });
  }

  async remove(): Promise<void> {
    // A test that failed may have left it away.
    await runChecked({ command: 'umount', args: ['-l', this.#place] }).catch(() => {});
    for (const device of this.#devices)
      await runChecked({ command: 'losetup', args: ['-d', device] });
  }
}

async function shimmedDisk(work: string, place: string): Promise<LeavingDisk> {
  const data = join(place, 'data');
  const away = join(work, 'pulled-out');
  mkdirSync(data);
  const io = await FailIo.prepare(work, data);
  return {
    data,
    env: io.env,
    turnReadOnly: () => io.set({ readonly: 1 }),
    leave: async () => renameSync(data, away),
    left: () => readdirSync(place),
    comeBack: async () => {
      io.set({ readonly: 0 });
      renameSync(away, data);
    },
    remove: async () => {},
  };
}
