import { describe, expect, test } from 'vitest';
import { type Coverages, upTo } from '../../src/coverage.ts';
import { GatelogError } from '../../src/errors.ts';
import { Pump, type PumpObserver, type Settlement } from '../../src/mirror/pump.ts';
import type { Receipt, UpstreamSession } from '../../src/mirror/upstream.ts';
import { streamId, type StreamId } from '../../src/record.ts';
import type { LogCursor, Slice } from '../../src/store/log.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { SimClock } from '../support/sim-clock.ts';

/** A session whose receipts come when the test says so, in any order and after any end. */
class HandSession implements UpstreamSession {
  readonly positions: Coverages = new Map();
  readonly afters: Coverages[] = [];
  copiesRecords: boolean = false;
  patienceMs: number = 0;
  readonly batches: (readonly Slice[])[] = [];
  readonly #answers: { resolve: (receipt: Receipt) => void; reject: (error: Error) => void }[] = [];
  readonly broken: Promise<never>;
  break: (error: Error) => void = () => {};

  constructor() {
    this.broken = new Promise((_resolve, reject) => {
      this.break = reject;
    });
  }

  send(batch: readonly Slice[], after: Coverages): Promise<Receipt> {
    this.batches.push(batch);
    this.afters.push(after);
    return new Promise((resolve, reject) => {
      this.#answers.push({ resolve, reject });
    });
  }

  confirm(index: number): void {
    this.#answers[index]?.resolve({ rejected: [], bytesSent: 1 });
  }

  refuse(index: number, error: Error): void {
    this.#answers[index]?.reject(error);
  }

  close(): Promise<void> {
    return Promise.resolve();
  }
}

interface Rig {
  readonly clock: SimClock;
  readonly log: MemoryLog;
  readonly stream: StreamId;
  readonly session: HandSession;
  readonly pump: Pump;
  readonly settled: Settlement[];
  /** First offsets of the batches whose memory was given back. */
  readonly released: (number | undefined)[];
  readonly stop: AbortController;
}

function rig(window = 2): Rig {
  const clock = new SimClock();
  const log = new MemoryLog();
  const stream = log.topic('t').streams[0] ?? streamId(-1);
  const settled: Settlement[] = [];
  const observer: PumpObserver = {
    missing: () => Promise.resolve(),
    expired: () => Promise.resolve(),
    sampled: () => Promise.resolve(),
    quarantine: () => Promise.resolve(),
    settled: (settlement) => void settled.push(settlement),
    atEnd: () => {},
  };
  const released: (number | undefined)[] = [];
  const inner = log.reader.cursor(new Map([[stream, 0]]));
  const cursor: LogCursor = {
    next: async (limits) => {
      const batch = await inner.next(limits);
      const first = batch.slices[0]?.records[0]?.offset;
      return { ...batch, release: () => void released.push(first) };
    },
    wait: (signal) => inner.wait(signal),
    close: () => inner.close(),
  };
  const batching = { maxRecords: 1, maxBytes: 1e6, maxWaitMs: 0 };
  const pump = new Pump({
    cursor,
    from: new Map(),
    batching,
    window: () => window,
    sendMs: 1000,
    clock,
    observer,
  });
  const session = new HandSession();
  return { clock, log, stream, session, pump, settled, released, stop: new AbortController() };
}

function positionsOf(settled: readonly Settlement[]): number[] {
  return settled.flatMap(({ positions }) => [...positions.values()].map(({ next }) => next));
}

describe('the pump', () => {
  test('settles in send order, whatever order the receipts come in', async () => {
    const { clock, log, stream, session, pump, settled, stop } = rig();
    for (const text of ['a', 'b', 'c']) log.add(stream, text);
    const run = pump.run(session, stop.signal);
    await clock.settle();
    expect(session.batches.length).toBe(2);
    session.confirm(1);
    await clock.settle();
    expect(settled).toEqual([]);
    session.confirm(0);
    await clock.settle();
    expect(positionsOf(settled)).toEqual([1, 2]);
    session.confirm(2);
    stop.abort();
    expect(await clock.settled(run)).toBeUndefined();
    expect(positionsOf(settled)).toEqual([1, 2, 3]);
  });

  test('gives memory back with the receipt, and only where the far side has copied', async () => {
    for (const copies of [true, false]) {
      const { clock, log, stream, session, pump, released, stop } = rig();
      session.copiesRecords = copies;
      for (const text of ['a', 'b', 'c']) log.add(stream, text);
      const run = pump.run(session, stop.signal);
      await clock.settle();
      session.confirm(1); // Not in its turn: nothing is settled.
      await clock.settle();
      expect(released).toEqual([]);
      session.confirm(0);
      await clock.settle();
      expect(released).toEqual(copies ? [0, 1] : []);
      session.refuse(2, new Error('broken'));
      expect(await clock.settled(run)).toBeDefined();
      expect(released).toEqual(copies ? [0, 1] : []);
    }
  });

  test('a receipt after the end of the session is not taken', async () => {
    const { clock, log, stream, session, pump, settled, stop } = rig();
    for (const text of ['a', 'b']) log.add(stream, text);
    const run = pump.run(session, stop.signal);
    await clock.settle();
    session.break(new GatelogError('UPSTREAM_UNREACHABLE', 'cut'));
    expect(await clock.settled(run)).toMatchObject({ error: { message: 'cut' }, local: false });
    await pump.finished();
    session.confirm(0);
    session.confirm(1);
    await clock.settle();
    expect(settled).toEqual([]);
  });

  test('what is in flight when it is told to stop is waited for', async () => {
    const { clock, log, stream, session, pump, settled, stop } = rig();
    log.add(stream, 'a');
    const run = pump.run(session, stop.signal);
    await clock.settle();
    stop.abort();
    log.add(stream, 'too late');
    await clock.advance(500);
    session.confirm(0);
    expect(await clock.settled(run)).toBeUndefined();
    expect(positionsOf(settled)).toEqual([1]);
    expect(session.batches.length).toBe(1);
  });

  test('the first failure in send order is the one that counts', async () => {
    const { clock, log, stream, session, pump, stop } = rig();
    for (const text of ['a', 'b']) log.add(stream, text);
    const run = pump.run(session, stop.signal);
    await clock.settle();
    session.refuse(1, new Error('second'));
    session.refuse(0, new Error('first'));
    expect(await clock.settled(run)).toMatchObject({ error: { message: 'first' }, local: false });
  });

  test('tells with each batch what has been had after it and all before it', async () => {
    const { clock, log, stream, session, pump, stop } = rig();
    for (const text of ['a', 'b']) log.add(stream, text);
    const run = pump.run(session, stop.signal);
    await clock.settle();
    expect(session.afters).toEqual([new Map([[stream, upTo(1)]]), new Map([[stream, upTo(2)]])]);
    session.confirm(0);
    session.confirm(1);
    stop.abort();
    expect(await clock.settled(run)).toBeUndefined();
  });

  test('no answer within the limit ends the session; each receipt starts it anew', async () => {
    const { clock, log, stream, session, pump, stop } = rig();
    for (const text of ['a', 'b', 'c', 'd']) log.add(stream, text);
    const run = pump.run(session, stop.signal);
    await clock.advance(900);
    session.confirm(0);
    await clock.advance(900);
    session.confirm(1);
    await clock.advance(900);
    expect(pump.waitingSinceMs).toBeDefined();
    expect(await clock.settled(run, 200)).toMatchObject({ error: { code: 'UPSTREAM_UNCERTAIN' } });
  });

  test('a session that waits for longer by itself is not given up before', async () => {
    const { clock, log, stream, session, pump, stop } = rig();
    session.patienceMs = 3000;
    log.add(stream, 'a');
    const run = pump.run(session, stop.signal);
    await clock.advance(5900);
    expect(pump.waitingSinceMs).toBeDefined();
    expect(await clock.settled(run, 200)).toMatchObject({
      error: { message: 'the far side has neither confirmed nor refused a batch for 6s' },
    });
  });
});
