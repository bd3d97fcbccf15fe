import { describe, expect, test } from 'vitest';
import { stillPausedLines } from '../../src/cli/mirror.ts';
import { upTo } from '../../src/coverage.ts';
import { GatelogError } from '../../src/errors.ts';
import { streamId } from '../../src/record.ts';
import { rememberingLogger } from '../support/store-kit.ts';
import { LONG_MS, rig } from './mirror-rig.ts';

const unreachable = (): Error => new GatelogError('UPSTREAM_UNREACHABLE', 'no route');

describe('whose position counts', () => {
  test('the far side is ahead: it got a batch whose answer we never saw', async () => {
    const { clock, log, mirror, upstream, positions, texts } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (const text of ['a', 'b', 'c']) log.add(stream, text);
    upstream.positions.set(stream, upTo(2));
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    expect(texts()).toEqual(['c']);
    await clock.settled(mirror.stop());
    expect(positions.get(stream)).toBe(3);
  });

  test('the far side is behind: it is sent again what it lost', async () => {
    const { clock, log, upstream, mirror, again, texts } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (const text of ['a', 'b', 'c']) log.add(stream, text);
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    await clock.settled(mirror.stop());
    upstream.positions.set(stream, upTo(1));
    const second = again();
    await second.start();
    await clock.until(() => texts().length === 5);
    expect(texts()).toEqual(['a', 'b', 'c', 'b', 'c']);
    await clock.settled(second.stop());
  });

  test('where a lost position is known again when a session stood that had the stream', async () => {
    const { clock, log, mirror } = rig();
    const streams = [...log.topic('t').streams, ...log.topic('paused').streams];
    for (const stream of streams) log.lostPositions.add(stream);
    await mirror.start();
    await mirror.pause('paused');
    await clock.until(() => mirror.status().state === 'live');
    expect([...log.lostPositions]).toEqual(streams.slice(1));
    await mirror.resume('paused');
    await clock.until(() => log.lostPositions.size === 0);
    await clock.settled(mirror.stop());
  });

  test('a far side beyond the end of this log halts the mirror: an older copy of the folder', async () => {
    const { clock, log, mirror, upstream, texts } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    upstream.positions.set(stream, upTo(5));
    await mirror.start();
    await clock.until(() => mirror.status().state === 'halted');
    expect(mirror.status().reason).toContain(
      "t/0: the far side's position is 5, but this log ends at 1",
    );
    expect(texts()).toEqual([]);

    await mirror.seek({ topic: 't', to: 'beginning' });
    await mirror.resume();
    await clock.until(() => texts().length === 1);
    await clock.settled(mirror.stop());
  });
});

describe('what is no longer there', () => {
  test.for([
    { start: 10, from: 10, sent: [] },
    { start: 4, from: 4, sent: ['4', '5', '6', '7', '8', '9'] },
    { start: 2, from: 2, sent: ['2', '3', '4', '5', '6', '7', '8', '9'] },
  ])('a far side that went back to 2 when the log begins at $start', async (given) => {
    const { start, from, sent } = given;
    const logger = rememberingLogger();
    const { clock, log, mirror, again, upstream, texts } = rig({}, { logger });
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (let offset = 0; offset < 10; offset++) log.add(stream, String(offset));
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    await clock.settled(mirror.stop());
    upstream.positions.set(stream, upTo(2));
    upstream.delivered.length = 0;
    log.trim(stream, start);

    const second = again();
    await second.start();
    await clock.until(() => second.status().state === 'live' && second.status().lagRecords === 0);
    expect(texts()).toEqual(sent);
    const gap = { topic: 't', partition: 0, fromOffset: 2, toOffset: from, reason: 'far-behind' };
    expect(second.status()).toMatchObject({
      recordsMissing: from - 2,
      gaps: from === 2 ? [] : [gap],
    });
    const warnings = logger.lines.filter(({ level }) => level === 'warn');
    const resent = `the far side has t/0 up to 2, though it had confirmed 10: sending again from ${from}`;
    const gone = `${from - 2} records of t/0 (2 to ${from - 1}), which this log no longer holds`;
    expect(
      warnings.map(({ message }) => /the far side has t.*|\d+ records.*?holds/u.exec(message)?.[0]),
    ).toEqual([...(sent.length === 0 ? [] : [resent]), ...(from === 2 ? [] : [gone])]);
    await clock.settled(second.stop());
  });

  test('a gap that the far side was never told of is not its loss', async () => {
    const { clock, log, mirror, upstream } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (const text of ['a', 'b', 'c', 'd']) log.add(stream, text);
    log.corrupt(stream, 1, 4);
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    log.trim(stream, 4);
    upstream.positions.set(stream, upTo(1)); // As earlier versions left it.
    upstream.breakSession(unreachable());
    await clock.until(() => upstream.connects.length === 2 && mirror.status().state === 'live');
    expect(mirror.status().recordsMissing).toBe(3);
    // Later it loses the record that it had.
    upstream.positions.set(stream, upTo(0));
    upstream.breakSession(unreachable());
    await clock.until(() => upstream.connects.length === 3 && mirror.status().state === 'live');
    expect(mirror.status().recordsMissing).toBe(4);
    expect(mirror.status().gaps.at(-1)).toMatchObject({
      fromOffset: 0,
      toOffset: 1,
      reason: 'far-behind',
    });
    await clock.settled(mirror.stop());
  });

  test('records that retention took are counted, named and passed over', async () => {
    const { clock, log, mirror, texts, positions } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    await mirror.start();
    await clock.until(() => mirror.status().state === 'live');
    await mirror.pause();
    await clock.until(() => mirror.status().state === 'paused');
    for (const text of ['a', 'b', 'c', 'd']) log.add(stream, text);
    log.trim(stream, 2);
    log.corrupt(stream, 3, 4);
    await mirror.resume();
    await clock.until(() => mirror.status().lagRecords === 0);
    expect(texts()).toEqual(['c']);
    expect(mirror.status()).toMatchObject({
      recordsMissing: 3,
      gaps: [
        { topic: 't', partition: 0, fromOffset: 0, toOffset: 2, reason: 'retention' },
        { topic: 't', partition: 0, fromOffset: 3, toOffset: 4, reason: 'corruption' },
      ],
    });
    await clock.settled(mirror.stop());
    expect(positions.get(stream)).toBe(4);
  });

  test('a gap alone moves the position, here and at the far side', async () => {
    const { clock, log, mirror, upstream, positions } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    log.corrupt(stream, 0, 1);
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    await clock.settled(mirror.stop());
    expect(positions.get(stream)).toBe(1);
    expect(upstream.positions.get(stream)).toEqual(upTo(1));
    expect(upstream.delivered).toEqual([]);
  });

  test('a gap that a new session reads again is counted once', async () => {
    const { clock, log, mirror, upstream } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (const text of ['a', 'b', 'c']) log.add(stream, text);
    log.corrupt(stream, 1, 3);
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    upstream.positions.set(stream, upTo(1)); // Earlier versions told nothing of the gap.
    upstream.breakSession(unreachable());
    await clock.until(() => upstream.connects.length === 2 && mirror.status().state === 'live');
    expect(mirror.status()).toMatchObject({ recordsMissing: 2, lagRecords: 0 });
    expect(mirror.status().gaps).toHaveLength(2);
    await clock.settled(mirror.stop());
  });
});

describe('what a person decides', () => {
  test('a pause outlives a restart; so does the pause of one topic', async () => {
    const { clock, log, mirror, again, texts } = rig();
    const [one = streamId(-1)] = log.topic('one').streams;
    const [two = streamId(-1)] = log.topic('two').streams;
    await mirror.start();
    await mirror.pause();
    await mirror.pause('two');
    await clock.settled(mirror.stop());
    log.add(one, 'of one');
    log.add(two, 'of two');

    const second = again();
    await second.start();
    await clock.advance(LONG_MS);
    expect(second.status().state).toBe('paused');
    expect(texts()).toEqual([]);
    expect(await second.resume('one')).toEqual({ pausedTopics: [], isMirrorPaused: true });
    const resumed = await second.resume();
    expect(resumed).toEqual({ pausedTopics: ['two'], isMirrorPaused: false });
    expect(stillPausedLines('central', resumed)).toEqual([
      'topic two stays paused: resume it with gatelog mirror resume central --topic two',
    ]);
    await clock.until(() => texts().length === 1);
    expect(texts()).toEqual(['of one']);
    expect(second.status().topics).toMatchObject([{ state: 'mirrored' }, { state: 'paused' }]);
    await second.resume('two');
    await clock.until(() => texts().length === 2);
    await clock.settled(second.stop());

    const third = again();
    await third.start();
    await clock.until(() => third.status().state === 'live');
    await clock.settled(third.stop());
  });

  test('resume cuts a back-off short', async () => {
    let down = true;
    const { clock, log, mirror, texts } = rig(
      { connectFails: () => (down ? unreachable() : undefined) },
      { backoff: { firstMs: 1e9, maxMs: 1e9 } },
    );
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    await mirror.start();
    await clock.until(() => mirror.status().state === 'backing off');
    down = false;
    await mirror.resume();
    await clock.advance(10);
    expect(texts()).toEqual(['a']);
    await clock.settled(mirror.stop());
  });

  test('seek sends again or skips, also where the far side keeps the position', async () => {
    const { clock, log, mirror, texts, upstream } = rig();
    const topic = log.topic('t', 2);
    const [first = streamId(-1), second = streamId(-1)] = topic.streams;
    for (let index = 0; index < 4; index++) log.add(first, String(index), index * 1000);
    log.add(second, 'other', 5);
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);

    upstream.delivered.length = 0;
    expect(await mirror.seek({ topic: 't', partition: 0, to: 2 })).toEqual([
      { topic: 't', partition: 0, offset: 2 },
    ]);
    await clock.until(() => texts().length === 2);
    expect(texts()).toEqual(['2', '3']);

    upstream.delivered.length = 0;
    await mirror.seek({ topic: 't', to: { timestampMs: 2500 } });
    await clock.until(() => texts().length === 1);
    await mirror.seek({ topic: 't', to: 'beginning' });
    await clock.until(() => texts().length === 6);
    expect(texts()).toEqual(['3', '0', '1', '2', '3', 'other']);

    await mirror.pause();
    log.add(first, 'skipped');
    await mirror.seek({ topic: 't', to: 'end' });
    expect(mirror.status().pendingSeeks).toHaveLength(2);
    log.add(first, 'after');
    await mirror.resume();
    await clock.until(() => texts().length === 7);
    expect(texts().at(-1)).toBe('after');
    expect(mirror.status().pendingSeeks).toEqual([]);
    await clock.settled(mirror.stop());
  });

  test('where positions are ours, a seek back is stored before anything is sent again', async () => {
    const { clock, log, mirror, again, positions, texts, upstream } = rig({ exactlyOnce: false });
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (const text of ['a', 'b']) log.add(stream, text);
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    upstream.options = { ...upstream.options, fate: () => 'silent' };
    await mirror.seek({ topic: 't', to: 0 });
    await clock.until(() => mirror.status().pendingSeeks.length === 0);
    expect(positions.get(stream)).toBe(0);
    // A restart in the middle of it: the seek still holds.
    await clock.settled(mirror.stop());
    upstream.options = { ...upstream.options, fate: () => 'ok' };
    const second = again();
    await second.start();
    await clock.until(() => texts().length === 4);
    await clock.settled(second.stop());
  });

  test('a seek made while the far side is away outlives a restart', async () => {
    const { clock, log, mirror, again, texts, upstream } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (const text of ['a', 'b', 'c']) log.add(stream, text);
    await mirror.start();
    await clock.until(() => texts().length === 3);
    upstream.options = { ...upstream.options, connectFails: unreachable };
    await mirror.seek({ topic: 't', to: 1 });
    await clock.settled(mirror.stop());
    upstream.options = { ...upstream.options, connectFails: () => undefined };
    const second = again();
    await second.start();
    await clock.until(() => texts().length === 5);
    expect(texts().slice(3)).toEqual(['b', 'c']);
    await clock.settled(second.stop());
  });

  test('an upstream that ignores a seek halts the mirror instead of going on elsewhere', async () => {
    const { clock, log, mirror, upstream } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    for (const text of ['a', 'b']) log.add(stream, text);
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    const connect = upstream.connect.bind(upstream);
    upstream.connect = (streams, signal, options) =>
      connect(streams, signal, { ...options, seek: new Map() });
    await mirror.seek({ topic: 't', to: 0 });
    await clock.until(() => mirror.status().state === 'halted');
    expect(mirror.status().reason).toContain('kept its position 2 instead of the sought 0');
    await clock.settled(mirror.stop());
  });

  test.for([
    [{ topic: 'nope', to: 0 }, 'NOT_FOUND', 'mirror central has no topic nope; it has: t'],
    [{ topic: '_quarantine', to: 0 }, 'NOT_FOUND', 'no topic _quarantine'],
    [{ topic: 't', partition: 3, to: 0 }, 'NOT_FOUND', 't has partitions 0 to 0, not 3'],
    [{ topic: 't', to: 2 }, 'USAGE', 't/0 holds offsets 0 to 1; 2 is not one to go on from'],
    [{ topic: 't', to: -1 }, 'USAGE', '-1 is not one'],
    [{ topic: 't', to: 0.5 }, 'USAGE', '0.5 is not one'],
  ] as const)('seek %j is refused', async ([request, code, text]) => {
    const { clock, log, mirror } = rig();
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    await mirror.start();
    const refused = mirror.seek(request);
    await expect(refused).rejects.toThrow(text);
    await expect(refused).rejects.toMatchObject({ code });
    await clock.settled(mirror.stop());
  });
});
