import { closeSync, existsSync, openSync, readFileSync, readSync, writeSync } from 'node:fs';
import { truncateSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { runProcess } from '../process.ts';

/** The fields of fail-io.c's control file, eight bytes each, in order. */
const FIELDS = [
  'limited',
  'free',
  'total',
  'writes',
  'error',
  'syncs',
  'part',
  'failedWrites',
  'failedSyncs',
  'readonly',
] as const;
export type FailField = (typeof FIELDS)[number];

export const ERRNO = { EIO: 5, ENOSPC: 28, EROFS: 30, EDQUOT: 122 } as const;
export const PART = { all: 0, log: 1, state: 2 } as const;

/** What a failed sync would have covered. */
interface LostBytes {
  readonly path: string;
  readonly from: number;
  readonly to: number;
}

/** A disk that fails when told to, under a process that is started with `env`. */
export class FailIo {
  readonly env: Readonly<Record<string, string>>;
  readonly #control: string;
  readonly #log: string;

  private constructor(folder: string, library: string, root: string) {
    this.#control = join(folder, 'fail-io.control');
    this.#log = join(folder, 'fail-io.log');
    this.env = {
      LD_PRELOAD: library,
      FAILIO_ROOT: root,
      FAILIO_CONTROL: this.#control,
      FAILIO_LOG: this.#log,
      UV_USE_IO_URING: '0', // io_uring would write behind the library's back
    };
  }

  /** Compiles it; says what to install when there is no C compiler. `root`: below it things fail. */
  static async prepare(folder: string, root: string): Promise<FailIo> {
    const library = join(folder, 'fail-io.so');
    const source = join(import.meta.dirname, 'fail-io.c');
    const args = ['-O2', '-shared', '-fPIC', '-o', library, source, '-ldl', '-lpthread'];
    const built = await runProcess({ command: 'cc', args }).catch((error: unknown) => {
      throw new Error('this test needs a C compiler: apt-get install gcc libc6-dev', {
        cause: error,
      });
    });
    if (built.code !== 0) throw new Error(`fail-io.c does not compile: ${built.stderr}`);
    const failIo = new FailIo(folder, library, root);
    const file = openSync(failIo.#control, 'w');
    writeSync(file, Buffer.alloc(FIELDS.length * 8));
    closeSync(file);
    return failIo;
  }

  set(values: Partial<Record<FailField, number>>): void {
    const file = openSync(this.#control, 'r+');
    const bytes = Buffer.alloc(8);
    for (const [field, value] of Object.entries(values)) {
      bytes.writeBigInt64LE(BigInt(Math.floor(value)));
      writeSync(file, bytes, 0, 8, FIELDS.indexOf(field as FailField) * 8);
    }
    closeSync(file);
  }

  get(field: FailField): number {
    const file = openSync(this.#control, 'r');
    const bytes = Buffer.alloc(8);
    readSync(file, bytes, 0, 8, FIELDS.indexOf(field) * 8);
    closeSync(file);
    return Number(bytes.readBigInt64LE());
  }

  /**
   * After SIGKILL: takes away what failed syncs left in memory only, as a machine that forgets its
   * pages would. Gives the number of bytes that were there to be taken.
   */
  forget(): number {
    let forgotten = 0;
    for (const { path, from, to } of this.#lost()) {
      if (!existsSync(path)) continue;
      const { size } = statSync(path);
      const end = Math.min(to, size);
      if (end <= from) continue;
      const file = openSync(path, 'r+');
      writeSync(file, Buffer.alloc(end - from), 0, end - from, from);
      closeSync(file);
      forgotten += end - from;
    }
    return forgotten;
  }

  clearLog(): void {
    if (existsSync(this.#log)) truncateSync(this.#log);
  }

  #lost(): LostBytes[] {
    if (!existsSync(this.#log)) return [];
    let lost: LostBytes[] = [];
    for (const line of readFileSync(this.#log, 'utf8').split('\n')) {
      const [verb, from = '', to = '', ...path] = line.split(' ');
      if (verb === 'L') lost.push({ from: Number(from), to: Number(to), path: path.join(' ') });
      // LevelDB gives the names of files that failed to new ones.
      else if (verb === 'U') lost = lost.filter((one) => one.path !== line.slice(2));
    }
    return lost;
  }
}
