/**
 * A store that is filled until its process is killed: `node store-process.js FOLDER NEXT [QUOTA]`.
 * Records are numbered from NEXT. QUOTA is a file with the bytes that the folder may take, read
 * again at SIGUSR2. On its output, one line each:
 *
 *   S <bytes> <path>     a write-ahead file, and how much of it is on the disk
 *   A <from> <to>        these numbers are acknowledged; comes after the S of them
 *   F                    an append was refused
 */
import { readFileSync, statSync, writeSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import path from 'node:path';
import { must } from '../../assert.ts';
import { systemRandom } from '../../random.ts';
import type { StreamId } from '../../record.ts';
import { openStore } from '../../store/open.ts';
import { quotaEngine } from '../../store/quota-engine.ts';
import { silentLogger } from '../../telemetry.ts';
import { holdProcess, systemClock } from '../../time.ts';
import { payloadOf, REHEARSAL_TOPIC } from './numbered.ts';

const NONE = new Uint8Array(0);
const GROUP_MAX = 40;
const AFTER_REFUSAL_MS = 50;
const [, , folder = '', first = '1', quotaFile] = process.argv;

function quotaOf(file: string): number {
  return Number(readFileSync(file, 'utf8'));
}

let quota = quotaFile === undefined ? Infinity : quotaOf(quotaFile);
if (quotaFile !== undefined) process.on('SIGUSR2', () => (quota = quotaOf(quotaFile)));
holdProcess();
const store = await openStore({
  folder,
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  segmentBytes: 262_144,
  compression: 'none', // Payloads that tell whether they are whole are regular ones.
  ...(quotaFile === undefined ? {} : { engine: quotaEngine(folder, () => quota) }),
});
const { streams } = store.writer.defineTopic(REHEARSAL_TOPIC, {
  partitions: 1,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
  onFull: 'refuse', // What was acknowledged may not be dropped for what comes.
});

function append(stream: StreamId, number: number): Promise<boolean> {
  const { promise, resolve } = Promise.withResolvers<boolean>();
  const done = (error: Error | null): void => resolve(error === null);
  const nowMs = systemClock.nowMs();
  store.writer.append(stream, nowMs, null, payloadOf(number), NONE, 'fsync', done);
  return promise;
}

/** Nothing is being written now: what these files hold is what was synced. */
async function tellSizes(): Promise<void> {
  for (const below of ['state', ...(await namesIn('log')).map((name) => path.join('log', name))]) {
    for (const name of await namesIn(below)) {
      const file = path.join(below, name);
      const size = statSync(path.join(folder, file), { throwIfNoEntry: false })?.size;
      if (name.endsWith('.log') && size !== undefined) writeSync(1, `S ${size} ${file}\n`);
    }
  }
}

/** Nothing, when it has just gone. */
async function namesIn(below: string): Promise<readonly string[]> {
  return readdir(path.join(folder, below)).catch(() => []);
}

let next = Number(first);
const stream = must(streams[0], 'the topic has a partition');
for (;;) {
  const from = next;
  next += 1 + Math.floor(systemRandom.next() * GROUP_MAX);
  const numbers = Array.from({ length: next - from }, (_, index) => from + index);
  const stored = await Promise.all(numbers.map((number) => append(stream, number)));
  if (stored.every(Boolean)) {
    await tellSizes();
    writeSync(1, `A ${from} ${next - 1}\n`);
  } else {
    for (const [index, ok] of stored.entries()) {
      const number = from + index;
      writeSync(1, ok ? `A ${number} ${number}\n` : 'F\n');
    }
    await systemClock.sleep(AFTER_REFUSAL_MS);
  }
}
