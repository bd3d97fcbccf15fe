import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
} from 'node:fs';
import { join } from 'node:path';
import type { Random } from '../../src/random.ts';
import { runProcess } from '../support/process.ts';
import type { FileNode, Names } from './disk-tree.ts';
import { loseBytes, type Tear } from './lost-bytes.ts';
import { killSurvivors } from './survivors.ts';
import { type ChangeKind, type DiskManner, Testimony } from './testimony.ts';

/**
 * Power cuts by proxy. A process runs with a witness (witness.c, loaded with LD_PRELOAD) that notes
 * what was synced; when it is dead, `cut` changes the folder into what a disk may hold after the
 * power went: nothing that a sync covered is missing, and everything else is left to chance. Between
 * two cuts there may be several processes, killed or not: what one left in the page cache the next
 * one sees, and a cut takes it from both.
 */
export interface WitnessOptions {
  /** For the library, the log and the graves; on the same file system as `root`. */
  readonly folder: string;
  /** Everything below is watched. It MUST exist, and hold nothing but files and folders of the test. */
  readonly root: string;
  /** `all`: no sync is ever done; `folders`: those of folders are not. For planted bugs. */
  readonly lies?: 'all' | 'folders';
  /** Microseconds that a sync takes, instead of the machine's disk. */
  readonly syncUs?: number;
}

export interface CutReport {
  readonly manner: DiskManner;
  readonly filesCut: number;
  /** Written, not synced, and lost or spoiled. */
  readonly bytesLost: number;
  readonly tears: readonly Tear[];
  /** Changes of names that no sync covered at that moment. */
  readonly loose: readonly { readonly kind: ChangeKind; readonly path: string }[];
  readonly undone: number;
  readonly untold: number;
  readonly unfollowed: readonly string[];
}

/** Compiles the library; says what to install when there is no C compiler. */
export async function compileWitness(folder: string): Promise<string> {
  const library = join(folder, 'witness.so');
  const source = join(import.meta.dirname, 'witness.c');
  const args = ['-O2', '-Wall', '-Werror', '-shared', '-fPIC'];
  const all = [...args, '-o', library, source, '-ldl', '-lpthread'];
  const built = await runProcess({ command: 'cc', args: all }).catch((error: unknown) => {
    throw new Error('power cuts need a C compiler: apt-get install gcc libc6-dev', {
      cause: error,
    });
  });
  if (built.code !== 0) throw new Error(`witness.c does not compile: ${built.stderr}`);
  return library;
}

export class Witness {
  readonly env: Readonly<Record<string, string>>;
  readonly #root: string;
  readonly #log: string;
  readonly #graves: string;
  readonly #after: string;
  #testimony: Testimony;

  constructor(library: string, options: WitnessOptions) {
    const { folder, root, lies, syncUs } = options;
    this.#root = root;
    this.#log = join(folder, 'witness.log');
    this.#graves = join(folder, 'graves');
    this.#after = join(folder, 'after-the-cut');
    this.env = {
      LD_PRELOAD: library,
      WITNESS_LOG: this.#log,
      WITNESS_ROOT: root,
      WITNESS_GRAVES: this.#graves,
      UV_USE_IO_URING: '0', // io_uring would sync behind the library's back
      ...(lies === undefined ? {} : { WITNESS_LIES: lies }),
      ...(syncUs === undefined ? {} : { WITNESS_SYNC_US: String(syncUs) }),
    };
    this.#testimony = this.#begin();
  }

  static async prepare(options: WitnessOptions): Promise<Witness> {
    mkdirSync(options.folder, { recursive: true });
    mkdirSync(options.root, { recursive: true });
    return new Witness(await compileWitness(options.folder), options);
  }

  /** Somebody without the witness changed the folder, and all of it is on the disk. */
  settle(): void {
    this.#testimony = this.#begin();
  }

  /** After the death of a process, when the power stays on and another one follows. */
  died(): void {
    killSurvivors(`WITNESS_LOG=${this.#log}`);
    this.#testimony.listen(this.#log);
  }

  /** The process MUST be dead; what it left behind dies with the power. */
  cut(random: Random, manner: DiskManner = random.next() < 0.5 ? 'ordered' : 'strict'): CutReport {
    this.died();
    const reading = this.#testimony.cut(manner, random);
    const files = this.#install(reading.names);
    const others = files.map(([path]) => path);
    const lost = files.map(([path, { covered }]) => loseBytes(path, { covered, others, random }));
    this.#testimony = this.#begin();
    const cuts = lost.filter(({ bytes }) => bytes > 0);
    return {
      manner,
      filesCut: cuts.length,
      bytesLost: cuts.reduce((sum, { bytes }) => sum + bytes, 0),
      tears: cuts.map(({ tear }) => tear),
      loose: reading.loose,
      undone: reading.undone,
      untold: reading.untold,
      unfollowed: reading.unfollowed,
    };
  }

  #begin(): Testimony {
    rmSync(this.#log, { force: true });
    rmSync(this.#graves, { recursive: true, force: true });
    mkdirSync(this.#graves);
    return new Testimony(this.#root);
  }

  /** Makes the folder hold these names. Returns its files. */
  #install(names: Names): [string, FileNode][] {
    const places = new Map([...filesBelow(this.#graves), ...filesBelow(this.#root)]);
    rmSync(this.#after, { recursive: true, force: true });
    mkdirSync(this.#after);
    const files: [string, FileNode][] = [];
    for (const [path, node] of names.walk()) {
      const target = this.#after + path.slice(this.#root.length);
      if (node.kind === 'folder') {
        mkdirSync(target);
        continue;
      }
      const place = places.get(node.ino);
      if (place === undefined) throw new Error(`the witness lost the bytes of ${path}`);
      linkSync(place, target);
      files.push([path, node]);
    }
    rmSync(this.#root, { recursive: true, force: true });
    renameSync(this.#after, this.#root);
    return files;
  }
}

/** By inode number: where the bytes are. */
function filesBelow(folder: string): [string, string][] {
  if (!existsSync(folder)) return [];
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => {
      const path = join(entry.parentPath, entry.name);
      return [String(statSync(path, { bigint: true }).ino), path];
    });
}
