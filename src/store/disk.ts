import type { Random } from '../random.ts';
import type { Clock } from '../time.ts';
import type { DiskGate } from './disk-gate.ts';
import { DiskKeeper } from './disk-keeper.ts';
import { DiskReserve } from './disk-reserve.ts';
import { DiskSpace, type DiskSpaceOptions } from './disk-space.ts';
import type { DiskUsage } from './disk-usage.ts';
import type { Waiters } from './waiters.ts';
import type { Writer } from './writer.ts';

export interface DiskParts extends Omit<DiskSpaceOptions, 'roll' | 'onMoved'> {
  readonly gate: DiskGate;
  readonly usage: DiskUsage;
  readonly writer: Writer;
  readonly waiters: Waiters;
  readonly clock: Clock;
}

export interface DiskOptions {
  readonly reserveBytes?: number;
  readonly maxBytes?: number | undefined;
  readonly readOnly: boolean;
  readonly random: Random;
}

/** Everything that keeps a log within its disk, put together; the room is known when it resolves. */
export async function keepDisk(parts: DiskParts, options: DiskOptions): Promise<DiskKeeper> {
  const { engine, clock, logger, writer, waiters } = parts;
  const { reserveBytes = 0, maxBytes, readOnly, random } = options;
  const reserve = new DiskReserve({
    space: readOnly ? undefined : engine.reserve,
    bytes: reserveBytes,
    clock,
    random,
    logger,
  });
  const space = new DiskSpace({
    ...parts,
    roll: () => writer.roll(),
    onMoved: () => waiters.wake(),
  });
  const keeper = new DiskKeeper({ ...parts, reserve, maxBytes, space });
  if (!readOnly) await keeper.begin();
  return keeper;
}
