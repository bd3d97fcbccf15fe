import { describe, expect, test } from 'vitest';
import { GatelogError } from '../../src/errors.ts';
import { decodeHeaders } from '../../src/headers.ts';
import { LIMITS } from '../../src/limits.ts';
import { streamId } from '../../src/record.ts';
import { LONG_MS, rig } from './mirror-rig.ts';

const unreachable = (): Error => new GatelogError('UPSTREAM_UNREACHABLE', 'no route');

describe('sending', () => {
  test('everything in the log arrives once, in order, and the position follows', async () => {
    const { clock, log, positions, mirror, texts } = rig();
    const topic = log.topic('telemetry', 2);
    const [first = streamId(-1), second = streamId(-1)] = topic.streams;
    for (const text of ['a', 'b']) log.add(first, text);
    log.add(second, 'x');
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    log.add(first, 'c');
    await clock.until(() => texts().length === 4);
    await clock.advance(LIMITS.positionEveryMs * 2);

    expect(texts()).toEqual(['a', 'b', 'x', 'c']);
    expect(positions.all()).toEqual(
      new Map([
        [first, 3],
        [second, 1],
      ]),
    );
    expect(mirror.status()).toMatchObject({
      name: 'central',
      state: 'live',
      lagRecords: 0,
      lagMs: 0,
      recordsSent: 4,
      bytesSent: 4,
      reconnects: 0,
      topics: [
        {
          topic: 'telemetry',
          state: 'mirrored',
          partitions: [
            { partition: 0, position: 3, endOffset: 3, recordsSent: 3 },
            { partition: 1, position: 1, endOffset: 1, recordsSent: 1 },
          ],
        },
      ],
    });
    await clock.settled(mirror.stop());
    expect(mirror.status().state).toBe('stopped');
  });

  test('no more batches are in flight than the window allows, and batches keep their limits', async () => {
    const { clock, log, mirror, upstream, texts } = rig(
      { latencyMs: () => 50 },
      { window: 3, batching: { maxRecords: 10 } },
    );
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (let index = 0; index < 200; index++) log.add(stream, String(index));
    await mirror.start();
    await clock.until(() => texts().length === 200);
    expect(texts()).toEqual(Array.from({ length: 200 }, (_, index) => String(index)));
    expect(upstream.mostInFlight).toBe(3);
    expect(upstream.sends).toBe(20);
    await clock.settled(mirror.stop());
  });

  test('maxWaitMs gathers what comes in meanwhile into one batch', async () => {
    const { clock, log, mirror, upstream, texts } = rig({}, { batching: { maxWaitMs: 100 } });
    const [stream = streamId(-1)] = log.topic('t').streams;
    await mirror.start();
    await clock.until(() => mirror.status().state === 'live');
    for (let index = 0; index < 10; index++) {
      log.add(stream, String(index));
      await clock.advance(5);
    }
    await clock.until(() => texts().length === 10);
    expect(upstream.sends).toBe(1);
    await clock.settled(mirror.stop());
  });

  test('a topic made later is picked up, and one with an underscore only by name', async () => {
    const { clock, log, mirror, upstream, again, texts } = rig();
    await mirror.start();
    await clock.until(() => mirror.status().state === 'idle');
    const [stream = streamId(-1)] = log.topic('late').streams;
    log.add(stream, 'first');
    await clock.until(() => texts().length === 1);
    await clock.settled(mirror.stop());
    expect(upstream.connects.flat().map(({ topic }) => topic)).toEqual(['late']);

    const named = again({ topics: ['_quarantine'] });
    await named.start();
    await clock.until(() => named.status().state === 'live');
    expect(upstream.connects.at(-1)?.map(({ topic }) => topic)).toEqual(['_quarantine']);
    await clock.settled(named.stop());
  });

  test('a topic whose place is slow to be stored is taken up once, and keeps its position', async () => {
    const { clock, log, again, upstream, texts } = rig();
    const stored = log.positions();
    let placings = 0;
    const slowly: typeof stored.advance = async (positions) => {
      if ([...positions.values()].every((position) => position === 0)) {
        placings++;
        await clock.sleep(LIMITS.mirrorTopicScanMs * 3.5);
      }
      await stored.advance(positions);
    };
    const slow = again({ positions: { ...stored, advance: slowly } });
    await slow.start();
    const [stream = streamId(-1)] = log.topic('late').streams;
    for (const text of ['a', 'b', 'c']) log.add(stream, text);
    await clock.until(() => texts().length === 3);
    await clock.advance(LONG_MS);
    expect(placings).toBe(1);
    expect(upstream.connects).toHaveLength(1);
    expect(slow.status()).toMatchObject({ lagRecords: 0, recordsSent: 3, state: 'live' });
    await clock.settled(slow.stop());
  });

  test('startAt end skips what is there at the start, but nothing of later topics', async () => {
    const { clock, log, mirror, texts } = rig({}, { startAt: 'end' });
    const [old = streamId(-1)] = log.topic('old').streams;
    log.add(old, 'before');
    await mirror.start();
    const [later = streamId(-1)] = log.topic('later').streams;
    log.add(later, 'of a later topic');
    log.add(old, 'after');
    await clock.until(() => texts().length === 2);
    expect(texts().toSorted()).toEqual(['after', 'of a later topic']);
    await clock.settled(mirror.stop());
  });
});

describe('failures of the far side', () => {
  test('it connects for ever, with back-off, and says so', async () => {
    const { clock, log, mirror, upstream, texts } = rig({
      connectFails: (connect) => (connect < 40 ? unreachable() : undefined),
    });
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    await mirror.start();
    await clock.until(
      () => mirror.status().state === 'backing off' && upstream.connects.length > 30,
    );
    const status = mirror.status();
    expect(status.lastError).toMatchObject({ text: 'no route' });
    expect(status.reason).toBe('no route');
    expect(status.nextTryMs).toBeGreaterThanOrEqual(clock.nowMs());
    await clock.until(() => texts().length === 1);
    expect(upstream.connects.length).toBe(41);
    await clock.settled(mirror.stop());
  });

  test.for(['fail-before', 'fail-after', 'zombie', 'silent'] as const)(
    'a send that ends as %s costs no record and repeats none, where the far side keeps positions',
    async (fate) => {
      const { clock, log, mirror, texts } = rig(
        { fate: (send) => (send % 3 === 1 ? fate : 'ok') },
        { batching: { maxRecords: 5 } },
      );
      const [stream = streamId(-1)] = log.topic('t').streams;
      const sent = Array.from({ length: 60 }, (_, index) => String(index));
      for (const text of sent) log.add(stream, text);
      await mirror.start();
      await clock.until(() => mirror.status().lagRecords === 0);
      await clock.advance(LONG_MS);
      expect(texts()).toEqual(sent);
      expect(mirror.status().reconnects).toBeGreaterThan(2);
      await clock.settled(mirror.stop());
    },
  );

  test('with local positions nothing is lost, and a lost answer repeats only its batches', async () => {
    const { clock, log, mirror, texts } = rig(
      { exactlyOnce: false, fate: (send) => (send === 2 ? 'fail-after' : 'ok') },
      { batching: { maxRecords: 5 } },
    );
    const [stream = streamId(-1)] = log.topic('t').streams;
    const sent = Array.from({ length: 40 }, (_, index) => String(index));
    for (const text of sent) log.add(stream, text);
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    expect([...new Set(texts())]).toEqual(sent);
    expect(texts().length).toBe(45);
    await clock.settled(mirror.stop());
  });

  test('a session that breaks while nothing is sent is replaced', async () => {
    const { clock, log, mirror, upstream, texts } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    await mirror.start();
    await clock.until(() => mirror.status().state === 'live');
    upstream.breakSession(unreachable());
    await clock.until(() => upstream.connects.length === 2);
    log.add(stream, 'a');
    await clock.until(() => texts().length === 1);
    expect(mirror.status()).toMatchObject({ state: 'live', reconnects: 1 });
    await clock.settled(mirror.stop());
    expect(upstream.mostOpenSessions).toBe(1);
    expect(upstream.openSessions).toBe(0);
  });

  test('being fenced halts the mirror until a person resumes it', async () => {
    const { clock, log, mirror, upstream, texts } = rig({
      fate: (send) => (send === 0 ? 'fence' : 'ok'),
    });
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    await mirror.start();
    await clock.until(() => mirror.status().state === 'halted');
    await clock.advance(LONG_MS);
    expect(upstream.connects.length).toBe(1);
    expect(mirror.status().reason).toContain('took over');
    await mirror.resume();
    await clock.until(() => texts().length === 1);
    await clock.settled(mirror.stop());
  });

  test('a refused topic stops alone, and comes back by a person or by itself', async () => {
    let open = false;
    const { clock, log, mirror, upstream, texts } = rig(
      { connectFails: () => undefined },
      { stoppedTopicRetryMs: 60_000 },
    );
    const [bad = streamId(-1)] = log.topic('bad').streams;
    const [good = streamId(-1)] = log.topic('good').streams;
    upstream.options = {
      ...upstream.options,
      connectFails: () =>
        !open && upstream.connects.at(-1)?.some(({ topic }) => topic === 'bad') === true
          ? new GatelogError('UPSTREAM_UNAUTHORIZED', 'no right to write to bad')
          : undefined,
    };
    upstream.dispositions = () => ({ kind: 'stop-topic', topic: 'bad' });
    log.add(bad, 'b');
    log.add(good, 'g');
    await mirror.start();
    await clock.until(() => texts().length === 1);
    const stoppedMs = clock.nowMs();
    expect(texts()).toEqual(['g']);
    expect(mirror.status().topics).toMatchObject([
      { topic: 'bad', state: 'stopped', reason: 'no right to write to bad' },
      { topic: 'good', state: 'mirrored' },
    ]);

    await clock.advance(200_000);
    expect(upstream.connects.length).toBeGreaterThanOrEqual(6);
    const [again] = mirror.status().topics;
    expect(again).toMatchObject({ state: 'stopped' });
    expect(again?.sinceMs).toBeLessThanOrEqual(stoppedMs);

    open = true;
    await mirror.resume('bad');
    await clock.until(() => texts().length === 2);
    const healed = { state: 'mirrored', reason: undefined };
    expect(mirror.status().topics).toMatchObject([healed, healed]);
    await clock.settled(mirror.stop());
  });

  test('topics that the far side refuses together are stopped by one session', async () => {
    const { clock, log, mirror, upstream, texts } = rig({ connectFails: () => undefined });
    const [good = streamId(-1)] = log.topic('good').streams;
    for (const topic of ['one', 'two', 'three']) log.topic(topic);
    upstream.options = {
      ...upstream.options,
      connectFails: () =>
        upstream.connects.at(-1)?.some(({ topic }) => topic !== 'good') === true
          ? new GatelogError('UPSTREAM_TOPIC_MISSING', 'no topic one')
          : undefined,
    };
    const others = new Map([
      ['two', 'no topic two'],
      ['three', 'no topic three'],
    ]);
    upstream.dispositions = () => ({ kind: 'stop-topic', topic: 'one', others });
    log.add(good, 'g');
    await mirror.start();
    await clock.until(() => texts().length === 1);
    expect(upstream.connects).toHaveLength(2);
    expect(mirror.status().topics).toMatchObject([
      { topic: 'good', state: 'mirrored' },
      { topic: 'one', state: 'stopped', reason: 'no topic one' },
      { topic: 'two', state: 'stopped', reason: 'no topic two' },
      { topic: 'three', state: 'stopped', reason: 'no topic three' },
    ]);
    await clock.settled(mirror.stop());
  });

  test('a refused record goes to quarantine with its reason, and the others go on', async () => {
    const { clock, log, mirror, quarantine, texts } = rig({
      reject: (_at, record) => (record.offset === 1 ? 'too large for the far side' : undefined),
    });
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (const text of ['a', 'b', 'c']) log.add(stream, text, 77, 'k');
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    expect(texts()).toEqual(['a', 'c']);
    expect(mirror.status()).toMatchObject({ recordsSent: 2, recordsRejected: 1 });
    const kept = log.records(quarantine.streams[0] ?? streamId(-1));
    expect(kept).toHaveLength(1);
    expect(Buffer.from(kept[0]?.value ?? []).toString()).toBe('b');
    expect(Buffer.from(kept[0]?.key ?? []).toString()).toBe('k');
    expect(kept[0]?.timestampMs).toBe(77);
    const headers = decodeHeaders(kept[0]?.headers ?? new Uint8Array(0)).map(
      ({ key, value }) => [key, Buffer.from(value ?? []).toString()] as const,
    );
    expect(headers).toEqual([
      ['gatelog.quarantine.reason', 'too large for the far side'],
      ['gatelog.quarantine.source', 'gw/abc/t/0/1'],
      ['gatelog.quarantine.mirror', 'central'],
    ]);
    await clock.settled(mirror.stop());
  });

  test('a silent far side is called stalled, then given up for a new session', async () => {
    const { clock, log, mirror, upstream } = rig({
      fate: (send) => (send === 0 ? 'silent' : 'ok'),
    });
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    await mirror.start();
    await clock.advance(LIMITS.mirrorStalledMs + 1000);
    expect(mirror.status().state).toBe('stalled');
    await clock.advance(LIMITS.mirrorSendMs + LONG_MS);
    expect(upstream.connects.length).toBe(2);
    expect(mirror.status()).toMatchObject({ state: 'live', lagRecords: 0 });
    expect(mirror.status().lastError?.text).toContain('neither confirmed nor refused');
    await clock.settled(mirror.stop());
  });
});

describe('lag, and trouble of our own', () => {
  test('lag is measured in records and in the age of the oldest', async () => {
    const { clock, log, mirror } = rig({ connectFails: unreachable });
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a', clock.nowMs() - 60_000);
    log.add(stream, 'b', clock.nowMs());
    await mirror.start();
    expect(mirror.status()).toMatchObject({ lagRecords: 2, lagMs: undefined });
    const measured = await mirror.measure();
    expect(measured).toMatchObject({ lagRecords: 2, lagMs: 60_000 });
    await clock.settled(mirror.stop());
  });

  test('a log that cannot be read, or positions that cannot be stored, are tried again', async () => {
    const { clock, log, mirror, texts, positions } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    await mirror.start();
    await clock.until(() => mirror.status().state === 'live');
    log.failReads = new GatelogError('STORE_UNAVAILABLE', 'the disk is away');
    log.add(stream, 'a');
    await clock.until(() => mirror.status().state === 'backing off');
    log.failReads = undefined;
    await clock.until(() => texts().length === 1);
    log.failPositions = new GatelogError('STORE_WRITE_FAILED', 'disk full');
    log.add(stream, 'b');
    await clock.until(() => mirror.status().lastError?.text === 'disk full');
    log.failPositions = undefined;
    await clock.until(() => positions.get(stream) === 2);
    expect(texts()).toEqual(['a', 'b']);
    await clock.settled(mirror.stop());
  });

  test('a broken invariant halts the mirror; it is not tried again', async () => {
    const { clock, log, mirror, upstream } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    log.failReads = new TypeError('a bug');
    await mirror.start();
    await clock.until(() => mirror.status().state === 'halted');
    await clock.advance(LONG_MS);
    expect(upstream.connects.length).toBe(1);
    await clock.settled(mirror.stop());
  });

  test('stop waits for what is in flight', async () => {
    const { clock, log, mirror, positions, texts } = rig({ latencyMs: () => 5000 });
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    await mirror.start();
    await clock.advance(100);
    await clock.settled(mirror.stop());
    expect(texts()).toEqual(['a']);
    expect(positions.get(stream)).toBe(1);
  });

  test('stop is bounded when the far side never answers', async () => {
    const { clock, log, mirror } = rig({ fate: () => 'silent' });
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    await mirror.start();
    await clock.advance(100);
    await clock.settled(mirror.stop(), LIMITS.drainMs + LIMITS.closeMs);
    expect(mirror.status().state).toBe('stopped');
  });
});
