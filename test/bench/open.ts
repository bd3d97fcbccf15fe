/**
 * npm run bench:open [-- GB … [rounds=N]] (0.1 1 by default; 10 takes some minutes and 12 GB of
 * disk): from kill -9 to open, the page cache dropped before each (where we may), at several sizes,
 * side by side with an empty folder. Twice each: the store alone, and the whole agent as it is
 * built, from its start as a process to the first CONNACK. Then the agent is killed right after each
 * CONNACK, several times in a row: starts that must find out whether the log is what ends them.
 */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { connect } from 'node:net';
import { join } from 'node:path';
import { freePorts } from '../support/ports.ts';
import { startProcess } from '../support/process.ts';
import { folderSize } from '../support/store-kit.ts';
import { say } from './store-data.ts';

const words = process.argv.slice(2);
const ROUNDS = Number(words.find((word) => word.startsWith('rounds='))?.slice(7) ?? 5);
const SIZES = words.filter((word) => !word.includes('='));
const ROOT = join(import.meta.dirname, '../..');
const CHILD = join(import.meta.dirname, 'open-store.ts');
/** MQTT 3.1.1, a clean session of the client `open`. */
const CONNECT = Buffer.from('101000044d5154540402003c00046f70656e', 'hex');
/** More than LIMITS.deathsBeforeProbe. */
const KILLS_IN_A_ROW = 6;
const TRY_EVERY_MS = 2;
const FILL_MS = 500_000;

interface Opened {
  readonly ms: number;
  readonly segments: number;
}

/** True when nothing of the disk is in memory any more. */
function dropCaches(): boolean {
  execFileSync('sync');
  try {
    writeFileSync('/proc/sys/vm/drop_caches', '3');
    return true;
  } catch {
    return false;
  }
}

async function child(...args: string[]): Promise<Opened> {
  const running = await startProcess({ command: process.execPath, args: [CHILD, ...args] });
  const [line] = await running.waitFor(/^\{.*\}$/mu, FILL_MS);
  await running.kill();
  return JSON.parse(line) as Opened;
}

/** Resolves at the first CONNACK. */
async function accepted(port: number): Promise<void> {
  for (;;) {
    const answered = await new Promise<boolean>((resolve) => {
      const socket = connect(port, '127.0.0.1', () => socket.write(CONNECT));
      const end = (yes: boolean): void => {
        socket.destroy();
        resolve(yes);
      };
      socket.on('data', () => end(true));
      socket.on('error', () => end(false));
      socket.on('close', () => end(false));
    });
    if (answered) return;
    await new Promise((resolve) => {
      setTimeout(resolve, TRY_EVERY_MS);
    });
  }
}

async function agentMs(folder: string): Promise<number> {
  const [port = 0] = await freePorts(1);
  const from = performance.now();
  const agent = await startProcess({
    command: join(ROOT, 'node_modules/.bin/gatelog'),
    args: ['run', '--data', folder, '--mqtt', `mqtt://127.0.0.1:${port}`],
  });
  await accepted(port);
  const ms = performance.now() - from;
  await agent.kill();
  return ms;
}

/** What opening changes: put back before each round, so that each finds what the kill left. */
class Left {
  readonly #folder: string;
  readonly #copy: string;
  readonly #names: readonly string[];

  constructor(folder: string, copy: string) {
    this.#folder = folder;
    this.#copy = copy;
    const log = join(folder, 'log');
    const newest = existsSync(log) ? readdirSync(log).toSorted().slice(-2) : [];
    this.#names = existsSync(folder) ? ['state', ...newest.map((name) => join('log', name))] : [];
    mkdirSync(copy);
    for (const name of this.#names)
      cpSync(join(folder, name), join(copy, name), { recursive: true });
  }

  restore(): void {
    if (this.#names.length === 0) {
      rmSync(this.#folder, { recursive: true, force: true });
      return;
    }
    const log = join(this.#folder, 'log');
    const oldest = this.#names[1]?.slice('log/'.length) ?? '';
    for (const name of readdirSync(log)) {
      if (name >= oldest) rmSync(join(log, name), { recursive: true });
    }
    for (const name of this.#names) {
      rmSync(join(this.#folder, name), { recursive: true, force: true });
      cpSync(join(this.#copy, name), join(this.#folder, name), { recursive: true });
    }
  }
}

function middle(values: readonly number[]): string {
  const sorted = values.toSorted((left, right) => left - right);
  const [least, most] = [sorted[0] ?? 0, sorted.at(-1) ?? 0];
  const median = sorted[Math.floor(sorted.length / 2)] ?? 0;
  return `${median.toFixed(0)} ms (${least.toFixed(0)} to ${most.toFixed(0)})`;
}

async function measure(root: string, size: string): Promise<void> {
  const folder = join(root, `data-${size}`);
  if (size !== '0') await child('fill', folder, size);
  const left = new Left(folder, join(root, `left-${size}`));
  const stores: number[] = [];
  const agents: number[] = [];
  let opened: Opened = { ms: 0, segments: 0 };
  let cold = true;
  for (let round = 0; round < ROUNDS; round++) {
    left.restore();
    cold = dropCaches() && cold;
    opened = await child('open', folder);
    stores.push(opened.ms);
    left.restore();
    cold = dropCaches() && cold;
    agents.push(await agentMs(folder));
  }
  left.restore();
  const killed: number[] = [];
  for (let kill = 0; kill < KILLS_IN_A_ROW; kill++) killed.push(await agentMs(folder));
  const gigabytes = ((await folderSize(folder)) / 1e9).toFixed(2);
  say(
    `${gigabytes} GB on disk (${opened.segments} segments, ${cold ? 'cold' : 'WARM: caches could not be dropped'}): ` +
      `store open ${middle(stores)}, agent to CONNACK ${middle(agents)}, ${ROUNDS} rounds; ` +
      `killed at each CONNACK: ${killed.map((ms) => ms.toFixed(0)).join(', ')} ms`,
  );
  rmSync(folder, { recursive: true, force: true });
}

execFileSync('npm', ['run', '--silent', 'build'], { cwd: ROOT, stdio: 'inherit' });
const root = mkdtempSync(join(process.env['BENCH_DIR'] ?? '/var/tmp', 'gatelog-open-'));
try {
  for (const size of ['0', ...(SIZES.length === 0 ? ['0.1', '1'] : SIZES)]) {
    await measure(root, size);
  }
} finally {
  rmSync(root, { recursive: true, force: true });
}
