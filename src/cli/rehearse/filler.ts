import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { NumberRange } from './numbered.ts';

const SUFFIX = import.meta.url.endsWith('.ts') ? '.ts' : '.js';
const PROGRAM = fileURLToPath(new URL(`store-process${SUFFIX}`, import.meta.url));
const LEASH = new URL(`../demo/leash${SUFFIX}`, import.meta.url).href;

export interface FillerOptions {
  readonly folder: string;
  readonly next: number;
  readonly env: NodeJS.ProcessEnv;
  /** A file with the bytes it may take. */
  readonly quotaFile?: string;
}

/** One life of the process that fills a store (store-process.ts). */
export class Filler {
  readonly #child: ReturnType<typeof spawn>;
  readonly #ended: Promise<void>;
  readonly acknowledged: NumberRange[] = [];
  /** By path below the folder: bytes that are on the disk. */
  readonly synced: Map<string, number> = new Map();
  refused = 0;
  #killed = false;
  #fell = false;

  constructor({ folder, next, env, quotaFile }: FillerOptions) {
    const quota = quotaFile === undefined ? [] : [quotaFile];
    const args = ['--import', LEASH, PROGRAM, folder, String(next), ...quota];
    const stdio = ['ignore', 'pipe', 'ignore', 'ipc'] as const;
    const child = spawn(process.execPath, args, { env, detached: true, stdio: [...stdio] });
    this.#child = child;
    const { stdout } = child;
    if (stdout !== null) createInterface({ input: stdout }).on('line', (line) => this.#hear(line));
    this.#ended = new Promise((resolve) => {
      child.once('error', () => {});
      child.once('close', () => {
        this.#fell = !this.#killed;
        resolve();
      });
    });
  }

  /** It ended and nobody had killed it. */
  get fell(): boolean {
    return this.#fell;
  }

  get lastAcknowledged(): number {
    return this.acknowledged.at(-1)?.to ?? 0;
  }

  /** It reads its quota again. */
  nudge(): void {
    if (!this.#fell) this.#child.kill('SIGUSR2');
  }

  /** SIGKILL. Resolves when everything that it said was heard. */
  async kill(): Promise<void> {
    this.#killed = true;
    this.#child.kill('SIGKILL');
    await this.#ended;
  }

  #hear(line: string): void {
    const [verb, first = '', ...rest] = line.split(' ');
    if (verb === 'S') this.synced.set(rest.join(' '), Number(first));
    else if (verb === 'F') this.refused++;
    else if (verb === 'A') this.#acknowledged(Number(first), Number(rest[0]));
  }

  /** Of a line that the kill tore the second number is missing, or smaller than the first. */
  #acknowledged(from: number, to: number): void {
    if (to >= from) this.acknowledged.push({ from, to });
  }
}
