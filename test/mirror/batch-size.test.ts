import { describe, expect, test } from 'vitest';
import { GatelogError } from '../../src/errors.ts';
import { LIMITS } from '../../src/limits.ts';
import { MIRROR_LIMITS } from '../../src/mirror-limits.ts';
import { BatchSize } from '../../src/mirror/batch-size.ts';
import type { Upstream, UpstreamSession } from '../../src/mirror/upstream.ts';
import { streamId } from '../../src/record.ts';
import type { Slice } from '../../src/store/log.ts';
import { type Logger, silentLogger } from '../../src/telemetry.ts';
import type { Clock } from '../../src/time.ts';
import { LONG_MS, rig } from './mirror-rig.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const late = new GatelogError('UPSTREAM_UNCERTAIN', 'Request timed out');

/** A logger that keeps what is said at warn and info about sizes, as `level text`. */
function listener(): { logger: Logger; said: string[] } {
  const said: string[] = [];
  const logger: Logger = {
    ...silentLogger,
    child: () => logger,
    warn: (fields, text) => void (isAboutSize(fields) && said.push(`warn ${text}`)),
    info: (fields, text) => void (isAboutSize(fields) && said.push(`info ${text}`)),
  };
  return { logger, said };
}

function isAboutSize(fields: object): boolean {
  return 'event' in fields && fields.event === 'mirror.batch-size';
}

interface Sizes {
  readonly size: BatchSize;
  readonly said: string[];
  readonly fails: (bytes?: number) => void;
  readonly passes: (bytes?: number) => void;
}

function sizes(maxBytes = 4 * MIB, maxRecords = 1000): Sizes {
  const { logger, said } = listener();
  const size = new BatchSize({ maxBytes, maxRecords }, { name: 'm', logger, isPrompt: false });
  const fails = (bytes = size.maxBytes): void => size.undelivered(late, { bytes, forMs: 20_000 });
  const passes = (bytes = size.maxBytes, records = 1): void =>
    size.settled({ slices: [], gaps: [], records, bytes });
  return { size, said, fails, passes };
}

describe('the size of a batch', () => {
  test('is halved by every failure down to the least, and doubled by every success', () => {
    const { size, fails, passes } = sizes();
    const seen: number[] = [];
    for (let count = 0; count < 11; count++) {
      fails();
      seen.push(size.maxBytes);
    }
    const down = [2048, 1024, 512, 256, 128, 64, 32, 16, 8, 8, 8];
    expect(seen).toEqual(down.map((kib) => kib * KIB));
    expect(size.maxBytes).toBe(LIMITS.mirrorBatchBytesMin);
    seen.length = 0;
    for (let count = 0; count < 11; count++) {
      passes();
      seen.push(size.maxBytes);
    }
    const up = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 4096, 4096];
    expect(seen).toEqual(up.map((kib) => kib * KIB));
  });

  test('goes by what was really sent: a small batch that fails says nothing of larger ones', () => {
    const { size, said, fails } = sizes();
    fails(300);
    fails(8 * KIB);
    expect(size.maxBytes).toBe(4 * MIB);
    expect(said).toEqual([]);
    fails(MIB);
    expect(size.maxBytes).toBe(512 * KIB);
  });

  test('does not grow by batches that are small for want of records', () => {
    const { size, fails, passes } = sizes();
    fails();
    passes(300);
    passes(MIB); // Just what the size before it would have held.
    expect(size.maxBytes).toBe(2 * MIB);
    size.settled({ slices: [], gaps: [], records: 1000, bytes: 20_000 }); // As many as may be.
    expect(size.maxBytes).toBe(4 * MIB);
  });

  test('is full from half as many records as may be: a commit that does not fit ends a batch', () => {
    const { size, said, fails } = sizes();
    fails();
    for (let count = 0; count < 3; count++) {
      size.settled({ slices: [], gaps: [], records: 900, bytes: 300_000 });
    }
    expect(size.maxBytes).toBe(4 * MIB);
    expect(said).toHaveLength(2);
  });

  test('a batch that was sent before a size was tried says nothing of the trial', () => {
    const { size, fails, passes } = sizes(256 * KIB);
    fails(); // 128
    passes(); // 256, on trial
    fails(128 * KIB);
    expect(size.maxBytes).toBe(64 * KIB);
    passes();
    expect(size.maxBytes).toBe(128 * KIB);
  });

  test('that fails whenever it is tried is tried more and more seldom', () => {
    const { size, fails, passes } = sizes(256 * KIB);
    const between: number[] = [];
    let passed = 0;
    for (let count = 0; count < 200; count++) {
      if (size.maxBytes > 64 * KIB) {
        between.push(passed);
        passed = 0;
        fails();
        continue;
      }
      passes();
      passed++;
    }
    expect(between).toEqual([0, 0, 1, 2, 4, 8, 16, 32, 32, 32, 32]);
    while (size.maxBytes === 64 * KIB) passes();
    passes();
    expect(size.maxBytes).toBe(256 * KIB);
  });

  test('is said once when it shrinks, and once when the configured one got through again', () => {
    const { said, fails, passes } = sizes();
    fails();
    fails();
    passes();
    fails();
    passes();
    passes();
    expect(said).toEqual([
      'warn mirror m: batches of at most 2.0 MiB instead of 4.0 MiB until larger ones get through: Request timed out',
    ]);
    for (let count = 0; count < 5; count++) passes();
    expect(said.slice(1)).toEqual([
      'info mirror m: batches of at most 4.0 MiB again, as configured',
    ]);
    fails();
    expect(said).toHaveLength(3);
  });

  test('is not changed by a failure that comes at once, or is no matter of time', () => {
    const { size } = sizes();
    const owed = { bytes: 4 * MIB, forMs: LIMITS.mirrorSlowMs - 1 };
    size.undelivered(late, owed);
    const refused = new GatelogError('UPSTREAM_UNAUTHORIZED', 'no');
    size.undelivered(refused, { ...owed, forMs: 20_000 });
    size.undelivered(new Error('anything'), { ...owed, forMs: 20_000 });
    expect(size.maxBytes).toBe(4 * MIB);
  });

  test('below the least is kept as it was configured', () => {
    const { size, fails } = sizes(1000);
    fails();
    expect(size.maxBytes).toBe(1000);
  });

  test('where something may have to overtake them a session begins with smaller ones', () => {
    const size = new BatchSize({}, { name: 'm', logger: silentLogger, isPrompt: true });
    size.begin();
    expect(size.maxBytes).toBe(MIRROR_LIMITS.startPromptBytes);
  });

  test('a session begins with a share of what the one before it carried, unless nothing got through', () => {
    const { size, fails } = sizes(4 * MIB);
    const pace = { leastMs: 1, mostMs: 1, idleMs: 300, tripMs: 100, isAlone: false };
    const carry = (): void => {
      const bytes = size.maxBytes;
      const batch = { slices: [], gaps: [], records: 1, bytes };
      size.follow({ ...pace, answeredMs: 1, underWayMs: 1, tooLongMs: 9 }, { batch, isFull: true });
    };
    size.begin();
    expect(size.maxBytes).toBe(MIRROR_LIMITS.startBytes);
    for (let count = 0; count < 8; count++) carry();
    expect(size.maxBytes).toBe(4 * MIB);
    size.begin();
    expect(size.maxBytes).toBe(2 * MIB);
    size.begin();
    expect(size.maxBytes).toBe(2 * MIB);
    fails(8 * KIB);
    size.begin();
    expect(size.maxBytes).toBe(MIRROR_LIMITS.startBytes);
  });
});

/** What is larger than the link carries within 20 s is never confirmed. */
function slow(inner: Upstream, clock: Clock, carries: () => number, tried: number[]): Upstream {
  return {
    dispositionOf: (error) => inner.dispositionOf(error),
    connect: async (...args) => {
      const session = await inner.connect(...args);
      let tail: Promise<unknown> = Promise.resolve();
      const send: UpstreamSession['send'] = (batch, after) => {
        const sent = tail.then(async () => {
          const bytes = bytesOf(batch);
          tried.push(bytes);
          if (bytes <= carries()) return session.send(batch, after);
          await clock.sleep(20_000);
          throw late;
        });
        tail = sent;
        return sent;
      };
      return { ...session, send };
    },
  };
}

function bytesOf(batch: readonly Slice[]): number {
  return batch
    .flatMap(({ records }) => records)
    .reduce((sum, { value }) => sum + (value?.length ?? 0), 0);
}

describe('a mirror on a link that is too slow', () => {
  const text = '.'.repeat(16 * KIB);

  test('gets everything through in smaller batches, and larger ones when the link is better', async () => {
    const { logger, said } = listener();
    const { clock, log, upstream, again, texts } = rig();
    const tried: number[] = [];
    let carries = 300 * KIB;
    const [stream = streamId(-1)] = log.topic('t').streams;
    const fill = (count: number): void => {
      for (let index = 0; index < count; index++) log.add(stream, text);
    };
    fill(256); // 4 MiB
    const batching = { maxBytes: 4 * MIB };
    const mirror = again({
      upstream: slow(upstream, clock, () => carries, tried),
      batching,
      logger,
    });
    await mirror.start();
    await clock.until(() => texts().length === 256);
    expect(tried.slice(0, 5)).toEqual([4096, 2048, 1024, 512, 256].map((kib) => kib * KIB));
    // Of the 16 of 256 KiB, after the 1st, 3rd and 7th a larger one was tried.
    expect(tried.filter((bytes) => bytes > carries)).toHaveLength(4 + 3);
    expect(said).toEqual([expect.stringMatching(/^warn .* at most 2.0 MiB instead of 4.0 MiB/u)]);

    carries = 8 * MIB;
    fill(1024); // 16 MiB
    await clock.until(() => texts().length === 256 + 1024);
    await clock.advance(LONG_MS);
    expect(Math.max(...tried.slice(5))).toBe(4 * MIB);
    expect(said.slice(1)).toEqual([expect.stringMatching(/^info .* at most 4.0 MiB again/u)]);
    expect(mirror.status()).toMatchObject({ lagRecords: 0, recordsSent: 256 + 1024 });
    await clock.settled(mirror.stop());
  });

  test('also when the far side says nothing at all, and the mirror gives up waiting', async () => {
    const { clock, log, upstream, again, texts } = rig({ exactlyOnce: true });
    const tried: number[] = [];
    const silent = slow(upstream, clock, () => 200 * KIB, tried);
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (let index = 0; index < 64; index++) log.add(stream, text);
    const mirror = again({ upstream: silent, sendMs: 5000 });
    await mirror.start();
    await clock.until(() => texts().length === 64);
    expect(tried.slice(0, 4)).toEqual([1024, 512, 256, 128].map((kib) => kib * KIB));
    await clock.settled(mirror.stop());
  });
});
