import { spawn, type ChildProcess } from 'node:child_process';
import { cp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { seededRandom } from '../../../src/random.ts';
import { filesOf } from './build.ts';
import { damageByChance, damageOfTable, newestWal, type Damage } from './damage.ts';
import type { Request } from './worker.ts';

export interface CampaignOptions {
  readonly folder: string;
  readonly seed: number;
  readonly cases: number;
  /** A folder that is built serves for so many cases. */
  readonly casesAFolder: number;
  /** Pages and bits of tables only. */
  readonly tables?: boolean;
}

export interface Failure {
  readonly seed: number;
  readonly damage: readonly Damage[];
  readonly problems: readonly string[];
}

export interface CampaignResult {
  readonly cases: number;
  /** Seeds of cases in which LevelDB ended the process; the next start went well. */
  readonly aborts: readonly number[];
  readonly failures: readonly Failure[];
  /** By what was done: how often. */
  readonly kinds: Readonly<Record<string, number>>;
}

/** Starts that may end in an abort before a segment must have been set aside. */
const STARTS = 6;

/** Damages copies of data folders by chance, and has each checked. The case's seed replays it. */
export async function rotCampaign(options: CampaignOptions): Promise<CampaignResult> {
  const { folder, cases, casesAFolder } = options;
  const failures: Failure[] = [];
  const kinds: Record<string, number> = {};
  const worker = new Worker();
  const aborts: number[] = [];
  try {
    for (let number = 0; number < cases; number++) {
      const built = join(folder, `built-${Math.floor(number / casesAFolder)}`);
      const seed = options.seed + number;
      if (number % casesAFolder === 0) {
        const clean = Math.floor(number / casesAFolder) % 2 === 0;
        await worker.ask({ do: 'build', folder: built, seed, clean });
      }
      const copy = join(folder, `case-${number}`);
      await cp(built, copy, { recursive: true });
      const newest = await newestWal(copy, await filesOf(copy));
      const random = seededRandom(seed);
      const damage = await (options.tables === true
        ? damageOfTable(copy, random)
        : damageByChance(copy, random));
      const where = damage.file === newest ? 'newest wal' : damage.file.split('/')[0];
      const kind = `${where} ${damage.how}`;
      kinds[kind] = (kinds[kind] ?? 0) + 1;
      const withMirror = number % 4 === 0;
      const request = { do: 'check', folder: copy, model: `${built}.model`, damage } as const;
      let problems: readonly string[] | undefined;
      for (let start = 0; start < STARTS && problems === undefined; start++) {
        problems = await worker.ask({ ...request, withMirror });
        if (problems === undefined) aborts.push(seed);
      }
      problems ??= ['every start ends in an abort'];
      if (problems.length > 0)
        failures.push({ seed, damage: [damage], problems: problems.slice(0, 8) });
      if (problems.length === 0) await rm(copy, { recursive: true, force: true });
    }
  } finally {
    worker.stop();
  }
  return { cases, aborts, failures, kinds };
}

/** The process that opens what is damaged; another one after it was aborted. */
class Worker {
  #child: ChildProcess | undefined;
  #answer: ((line: string | undefined) => void) | undefined;

  /** undefined: the process ended before it answered. */
  async ask(request: Request): Promise<readonly string[] | undefined> {
    this.#child ??= this.#start();
    const { stdin } = this.#child;
    const answer = new Promise<string | undefined>((resolve) => {
      this.#answer = resolve;
    });
    stdin?.write(`${JSON.stringify(request)}\n`);
    const line = await answer;
    return line === undefined ? undefined : (JSON.parse(line) as string[]);
  }

  stop(): void {
    this.#child?.kill('SIGKILL');
  }

  #start(): ChildProcess {
    const child = spawn(process.execPath, ['test/support/rot/worker.ts'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    });
    createInterface({ input: child.stdout }).on('line', (line) => this.#answer?.(line));
    child.stdin.on('error', () => {});
    child.on('exit', () => {
      this.#child = undefined;
      this.#answer?.(undefined);
    });
    return child;
  }
}
