import { assert } from '../assert.ts';
import { LIMITS } from '../limits.ts';
import { LADDER_STEPS, type LadderStep } from './log.ts';

export interface LadderChange {
  readonly from: LadderStep;
  readonly to: LadderStep;
}

/**
 * When a step begins and when it ends, in units of room (see `unitOf`). Each step does all that
 * those before it do. The distances are the hysteresis: room that moves within one changes nothing.
 */
const BOUNDS = {
  ok: { enter: Infinity, leave: Infinity },
  warn: { enter: 10, leave: 12 },
  'drop-mirrored': { enter: 5, leave: 7 },
  'drop-unmirrored': { enter: 3, leave: 4 },
  refuse: { enter: 1, leave: 2 },
} as const;

/** Room is counted in units of a 128th of the disk (or of the cap), at least 1 MiB, at most 64 MiB. */
export function unitOf(totalBytes: number): number {
  const share = Math.floor(totalBytes / LIMITS.diskUnitsPerDisk);
  return Math.min(LIMITS.diskUnitBytesMax, Math.max(LIMITS.diskUnitBytesMin, share));
}

/**
 * The ladder of a disk that fills: ok → warn → drop what was mirrored → drop what was not →
 * refuse; and back. It decides by the room alone: bytes free beyond the reserve.
 */
export class DiskLadder {
  #at = 0;
  /** How often each step was come to from below, since start. */
  readonly entered: Record<LadderStep, number> = {
    ok: 0,
    warn: 0,
    'drop-mirrored': 0,
    'drop-unmirrored': 0,
    refuse: 0,
  };

  get step(): LadderStep {
    return stepAt(this.#at);
  }

  /** At this step or a worse one. */
  reached(step: LadderStep): boolean {
    return this.#at >= LADDER_STEPS.indexOf(step);
  }

  /** Room to be made for `drop-unmirrored` to end. */
  missing(roomBytes: number, unitBytes: number): number {
    return Math.max(0, BOUNDS['drop-unmirrored'].leave * unitBytes - roomBytes);
  }

  /** Takes the measure in; undefined when nothing changes. Steps between are passed, and counted. */
  observe(roomBytes: number, unitBytes: number): LadderChange | undefined {
    assert(unitBytes > 0, 'room is counted in something');
    const room = roomBytes / unitBytes;
    const from = this.step;
    while (this.#at + 1 < LADDER_STEPS.length && room < BOUNDS[stepAt(this.#at + 1)].enter) {
      this.#at++;
      this.entered[this.step]++;
    }
    while (this.#at > 0 && room >= BOUNDS[this.step].leave) this.#at--;
    return this.step === from ? undefined : { from, to: this.step };
  }
}

function stepAt(index: number): LadderStep {
  const step = LADDER_STEPS[index];
  assert(step !== undefined, 'the ladder has this step');
  return step;
}
