import { describe, expect, test } from 'vitest';
import { type Coverages, upTo } from '../../src/coverage.ts';
import { PositionSaver, resumeFrom } from '../../src/mirror/positions.ts';
import type { OffsetRange } from '../../src/range-set.ts';
import { streamId } from '../../src/record.ts';
import type { PositionStore } from '../../src/store/log.ts';
import { SimClock } from '../support/sim-clock.ts';

const STREAM = streamId(0);
const at = { stream: STREAM, topic: 't', partition: 0 };

interface Case {
  readonly local?: number;
  readonly far?: number;
  readonly seek?: number;
}

function resume({ local, far, seek }: Case): ReturnType<typeof resumeFrom> {
  const had = (offset: number | undefined): Coverages =>
    offset === undefined ? new Map() : new Map([[STREAM, upTo(offset)]]);
  return resumeFrom({
    streams: [at],
    reader: { range: () => ({ startOffset: 10, endOffset: 50 }) },
    local: had(local),
    far: had(far),
    seek: seek === undefined ? new Map() : new Map([[STREAM, seek]]),
  });
}

describe('where a session begins', () => {
  test.for<[Case, number, 'forward' | 'backward' | undefined]>([
    [{}, 10, 'forward'],
    [{ local: 20 }, 20, undefined],
    [{ local: 20, far: 30 }, 30, 'forward'],
    [{ local: 20, far: 20 }, 20, undefined],
    [{ far: 30 }, 30, 'forward'],
    [{ local: 30, far: 20 }, 20, 'backward'],
    [{ local: 12, far: 5 }, 10, 'backward'],
    [{ local: 8, far: 5 }, 8, undefined],
    [{ local: 10, far: 0 }, 10, undefined],
    [{ local: 50, far: 50 }, 50, undefined],
    [{ local: 20, seek: 40 }, 40, 'forward'],
    [{ local: 20, seek: 15 }, 15, 'backward'],
    [{ local: 20, far: 15, seek: 15 }, 15, 'backward'],
    [{ local: 99, seek: 15 }, 15, 'backward'],
  ])('%j begins at %i', ([one, position, moved]) => {
    const resumption = resume(one);
    expect(resumption.positions.get(STREAM)).toEqual(upTo(position));
    expect(resumption.forward.get(STREAM)?.next).toBe(moved === 'forward' ? position : undefined);
    expect(resumption.backward.get(STREAM)?.next).toBe(moved === 'backward' ? position : undefined);
  });

  test.for<[local: number, far: number, again: OffsetRange[], lost: OffsetRange[]]>([
    [30, 20, [{ from: 20, to: 30 }], []],
    [30, 5, [{ from: 10, to: 30 }], [{ from: 5, to: 10 }]],
    [10, 0, [], [{ from: 0, to: 10 }]],
    [8, 5, [], [{ from: 5, to: 8 }]],
  ])(
    'local %i, far %i: the far side went back, and is sent again what is left',
    ([local, far, again, lost]) => {
      expect(resume({ local, far }).farBehind).toEqual([
        { at, local: upTo(local), far: upTo(far), again, lost },
      ]);
    },
  );

  test.for<Case>([
    { local: 20, far: 20 },
    { local: 20, far: 30 },
    { local: 20, far: 15, seek: 15 },
  ])('%j: the far side did not go back', (one) => {
    expect(resume(one).farBehind).toEqual([]);
  });

  test.for<[Case, string]>([
    [{ far: 51 }, "t/0: the far side's position is 51, but this log ends at 50"],
    [{ local: 20, far: 51 }, "the far side's position is 51"],
    [{ local: 51 }, 't/0: the stored position is 51, but this log ends at 50'],
    [{ seek: 15, far: 20 }, 'kept its position 20 instead of the sought 15'],
  ])('%j is refused', ([one, message]) => {
    expect(() => resume(one)).toThrow(message);
  });
});

interface SaverRig {
  readonly clock: SimClock;
  readonly saver: PositionSaver;
  readonly written: number[];
  readonly failures: unknown[];
  fail: Error | undefined;
  most: number;
}

function saverRig(): SaverRig {
  const clock = new SimClock();
  const written: number[] = [];
  const failures: unknown[] = [];
  let writing = 0;
  const store: PositionStore = {
    lost: false,
    lostBelow: 0,
    isLost: () => false,
    found: () => Promise.resolve(),
    get: () => undefined,
    all: () => new Map(),
    coverage: () => undefined,
    coverages: () => new Map(),
    seek: () => Promise.resolve(),
    advance: async (positions) => {
      writing++;
      made.most = Math.max(made.most, writing);
      await clock.sleep(30);
      writing--;
      if (made.fail !== undefined) throw made.fail;
      const told = positions.get(STREAM);
      written.push(typeof told === 'object' ? told.next : -1);
    },
  };
  const saver = new PositionSaver(store, clock, (error) => void failures.push(error), 100);
  const made: SaverRig = { clock, saver, written, failures, fail: undefined, most: 0 };
  return made;
}

describe('saving positions', () => {
  test('the first at once, then at most one write in the interval, always the newest', async () => {
    const { clock, saver, written } = saverRig();
    for (let offset = 1; offset <= 50; offset++) {
      saver.note(new Map([[STREAM, upTo(offset)]]));
      await clock.advance(10);
    }
    await clock.advance(200);
    expect(written[0]).toBe(1);
    expect(written.at(-1)).toBe(50);
    expect(written.length).toBeGreaterThanOrEqual(5);
    expect(written.length).toBeLessThanOrEqual(7);
    expect(written).toEqual(written.toSorted((one, other) => one - other));
  });

  test('flush resolves when everything noted before it is stored; never two writes at once', async () => {
    const rig = saverRig();
    const { clock, saver, written } = rig;
    saver.note(new Map([[STREAM, upTo(1)]]));
    const first = saver.flush();
    await clock.settle();
    saver.note(new Map([[STREAM, upTo(2)]]));
    const second = saver.flush();
    await clock.settled(second);
    await first;
    expect(written).toEqual([1, 2]);
    expect(rig.most).toBe(1);
    await clock.settled(saver.flush());
    expect(written).toEqual([1, 2]);
  });

  test('a failed write is told, and its positions go with the next one', async () => {
    const rig = saverRig();
    const { clock, saver, written, failures } = rig;
    rig.fail = new Error('disk full');
    saver.note(new Map([[STREAM, upTo(1)]]));
    await clock.advance(200);
    expect(failures).toEqual([rig.fail]);
    rig.fail = undefined;
    await clock.settled(saver.flush());
    expect(written).toEqual([1]);
  });
});
