import { execFile } from 'node:child_process';
import { existsSync, type Stats, statSync } from 'node:fs';
import { access, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { systemBoot, type Boot } from '../boot.ts';
import { ClockTrust } from '../clock-trust.ts';
import { systemCodeOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Random } from '../random.ts';
import type { Logger } from '../telemetry.ts';
import type { SourceAnswer, TimeSource } from '../time-source.ts';
import type { Clock } from '../time.ts';
import type { ClockConfig } from './config-types.ts';

/** Who is asked whether the clock is right, as far as they are there. */

const NOTHING: SourceAnswer = { says: 'nothing' };
const NOT_YET: SourceAnswer = { says: 'unsynchronised' };

/** systemd-timesyncd's own folder; it touches the file at every setting of the clock. */
const TIMESYNCD = '/run/systemd/timesync';
const CHRONY = '/run/chrony';

export interface ClockSurroundings {
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  /** The machine's own unless a test lives another life. */
  readonly boot?: Boot | undefined;
}

export function trustOf(config: ClockConfig, surroundings: ClockSurroundings): ClockTrust {
  const { clock, random, logger } = surroundings;
  const { trust, maxDriftMs } = config;
  return new ClockTrust({
    clock,
    boot: surroundings.boot ?? systemBoot() ?? processBoot(clock, random),
    logger,
    policy: trust === 'always' || trust === 'never' ? trust : 'ask',
    sources: trust.startsWith('file:') ? [fileSource(trust.slice(5))] : systemSources(),
    maxDriftMs,
  });
}

function processBoot(clock: Clock, random: Random): Boot {
  return { id: `process-${random.hex(8)}`, monotonicMs: () => clock.monotonicMs() };
}

export function systemSources(): TimeSource[] {
  return [timesyncdSource(), chronySource(), kernelSource()];
}

/** Synchronised while the file is there; anew whenever it is touched. */
export function fileSource(file: string): TimeSource {
  return {
    name: file,
    dear: false,
    ask: async () => synchronisedAt(await stat(file).catch(() => undefined)) ?? NOT_YET,
  };
}

/** Likewise with a file of the daemon's in its folder; without the folder, nothing. They are in memory: no disk is waited for. */
export function timesyncdSource(home: string = TIMESYNCD): TimeSource {
  return {
    name: 'systemd-timesyncd',
    dear: false,
    ask: () => {
      const file = statSync(join(home, 'synchronized'), { throwIfNoEntry: false });
      return Promise.resolve(synchronisedAt(file) ?? (existsSync(home) ? NOT_YET : NOTHING));
    },
  };
}

function synchronisedAt(file: Pick<Stats, 'mtimeMs'> | undefined): SourceAnswer | undefined {
  if (file === undefined) return undefined;
  const { mtimeMs } = file;
  return { says: 'synchronised', mark: String(mtimeMs), atMs: mtimeMs };
}

function chronySource(): TimeSource {
  return {
    name: 'chrony',
    dear: true,
    ask: async () => {
      if (!(await exists(CHRONY))) return NOTHING;
      return readChrony((await run('chronyc', ['-n', '-c', 'tracking'])).output);
    },
  };
}

/**
 * `chronyc -c tracking`: comma-separated, the fourth the time of the last measurement, the last the
 * leap status. A step that chrony did not make is noticed by it with its next measurement only.
 */
export function readChrony(output: string | undefined): SourceAnswer {
  const fields = output?.trim().split(',') ?? [];
  if (fields.length < 14) return NOTHING;
  if (fields.at(-1) === 'Not synchronised') return NOT_YET;
  const [, , , mark] = fields;
  return { says: 'synchronised', mark, atMs: secondsOf(mark) };
}

function secondsOf(text: string | undefined): number | undefined {
  const ms = Number(text) * 1000;
  return Number.isFinite(ms) ? ms : undefined;
}

/**
 * The kernel's own word (adjtimex), for every other daemon. It forgets it when somebody sets the
 * clock. Node has no such call, so a program makes it.
 */
function kernelSource(): TimeSource {
  const programs = [
    {
      name: 'timedatectl',
      args: ['show', '-p', 'NTP', '-p', 'NTPSynchronized'],
      read: readTimedate,
    },
    { name: 'adjtimex', args: ['--print'], read: readAdjtimex },
  ];
  const missing = new Set<string>();
  return {
    name: 'kernel',
    dear: true,
    ask: async () => {
      for (const { name, args, read } of programs) {
        if (missing.has(name)) continue;
        const { output, isMissing } = await run(name, args);
        if (isMissing) missing.add(name);
        const answer = read(output);
        if (answer !== undefined) return answer;
      }
      return NOTHING;
    },
  };
}

/** undefined: it could not say. Without a time service there is nobody to wait for. */
export function readTimedate(output: string | undefined): SourceAnswer | undefined {
  const synchronised = /^NTPSynchronized=(yes|no)$/mu.exec(output ?? '')?.[1];
  if (synchronised === undefined) return undefined;
  if (synchronised === 'yes') return { says: 'synchronised' };
  return /^NTP=yes$/mu.test(output ?? '') ? NOT_YET : NOTHING;
}

/** `return value = 5`: TIME_ERROR, not synchronised (adjtimex(2)). */
export function readAdjtimex(output: string | undefined): SourceAnswer | undefined {
  const value = /return value\s*[:=]\s*(\d+)/u.exec(output ?? '')?.[1];
  if (value === undefined) return undefined;
  return value === '5' ? NOTHING : { says: 'synchronised' };
}

interface RunResult {
  /** undefined: it failed. */
  readonly output: string | undefined;
  readonly isMissing: boolean;
}

function run(program: string, args: readonly string[]): Promise<RunResult> {
  const options = { timeout: LIMITS.clockAskMs, maxBuffer: 65_536, killSignal: 'SIGKILL' } as const;
  return new Promise((resolve) => {
    execFile(program, args, options, (error, stdout) => {
      if (error === null) resolve({ output: stdout, isMissing: false });
      else resolve({ output: undefined, isMissing: systemCodeOf(error) === 'ENOENT' });
    });
  });
}

async function exists(path: string): Promise<boolean> {
  try {
    await access(path);
    return true;
  } catch {
    return false;
  }
}
