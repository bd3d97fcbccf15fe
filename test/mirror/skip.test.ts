import { expect, test } from 'vitest';
import { pendingLines } from '../../src/cli/status.ts';
import { GatelogError } from '../../src/errors.ts';
import { streamId } from '../../src/record.ts';
import { LONG_MS, rig } from './mirror-rig.ts';

const cut = (): Error => new GatelogError('UPSTREAM_UNREACHABLE', 'cut');

test('a person has the record left out that holds up its topic', async () => {
  const { clock, log, mirror, texts, upstream, positions } = rig({
    fate: () => (skipped ? 'ok' : 'fail-before'),
  });
  let skipped = false;
  upstream.dispositions = () => ({ kind: 'stop-topic', topic: 't' });
  const [stream = streamId(-1)] = log.topic('t').streams;
  for (const text of ['a', 'b', 'c']) log.add(stream, text);
  await mirror.start();
  await clock.until(() => mirror.status().topics[0]?.state === 'stopped');
  skipped = true;
  const skip = await clock.settled(mirror.skip({ topic: 't' }));
  expect(skip).toEqual({ topic: 't', partition: 0, fromOffset: 0, toOffset: 1 });
  await clock.until(() => mirror.status().lagRecords === 0);
  expect(texts()).toEqual(['b', 'c']);
  const loss = { topic: 't', partition: 0, fromOffset: 0, toOffset: 1, records: 1 };
  expect(log.told).toMatchObject([{ ...loss, reason: 'skipped', mirror: 'central' }]);
  expect(mirror.status()).toMatchObject({ recordsMissing: 1, recordsSent: 2 });
  await clock.settled(mirror.stop());
  expect(positions.get(stream)).toBe(3);
  await expect(mirror.skip({ topic: 't' })).rejects.toThrow('nothing that waits');
});

test('what the far side turns out to have is not left out, and nothing comes twice', async () => {
  // The answer to the first send is lost; then the link is down until the person has decided.
  let isDown = false;
  const { clock, log, mirror, texts, upstream, again } = rig({
    fate: (send) => (send === 0 ? 'fail-after' : 'ok'),
    connectFails: () => (isDown ? cut() : undefined),
  });
  upstream.dispositions = () => {
    isDown = true;
    return { kind: 'retry' };
  };
  const [stream = streamId(-1)] = log.topic('t').streams;
  for (const text of ['a', 'b', 'c']) log.add(stream, text);
  await mirror.start();
  await clock.until(() => isDown);
  log.add(stream, 'd');
  expect(await clock.settled(mirror.skip({ topic: 't', count: 2 }))).toMatchObject({ toOffset: 2 });
  await clock.settled(mirror.stop());
  isDown = false;
  // The decision outlives the process.
  const next = again();
  await next.start();
  await clock.until(() => next.status().lagRecords === 0);
  await clock.advance(LONG_MS);
  expect(texts()).toEqual(['a', 'b', 'c', 'd']);
  expect(log.told).toEqual([]);
  await clock.settled(next.stop());
  const last = again();
  await last.start();
  await clock.until(() => last.status().state === 'live');
  expect(texts()).toEqual(['a', 'b', 'c', 'd']);
  await clock.settled(last.stop());
});

test('left out in the middle of what was sent out of order, and only there', async () => {
  const bounds = {
    aheadRanges: 4,
    seamRecords: 3,
    reseamRecords: 100,
    newestChunkRecords: 4,
    lanePasses: 3,
    backlogRecords: 10,
  };
  let isDown = true;
  const { clock, log, mirror, texts } = rig(
    { connectFails: () => (isDown ? cut() : undefined), latencyMs: () => 5000 },
    {
      laneBounds: bounds,
      topics: [{ match: 't', class: 'normal', drain: 'live-first' }],
      batching: { maxRecords: 2 },
      window: 1,
    },
  );
  const [stream = streamId(-1)] = log.topic('t').streams;
  for (const text of ['0', '1', '2', '3', '4', '5']) log.add(stream, text);
  await mirror.start();
  isDown = false;
  await clock.until(() => mirror.status().state === 'catching up');
  log.add(stream, '6');
  await clock.until(() => texts().includes('6'));
  const before = mirror.status().topics[0]?.partitions[0];
  expect(before).toMatchObject({ recordsAhead: 1 });
  const skip = await clock.settled(mirror.skip({ topic: 't', partition: 0, count: 99 }));
  expect(skip.toOffset).toBe(6);
  await clock.until(() => mirror.status().lagRecords === 0);
  await clock.advance(LONG_MS);
  expect(new Set(texts()).size).toBe(texts().length);
  expect(texts()).toContain('6');
  const lost = log.told.map(({ fromOffset = 0, toOffset = 0 }) => toOffset - fromOffset);
  expect(texts().length + lost.reduce((sum, count) => sum + count, 0)).toBe(7);
  await clock.settled(mirror.stop());
});

test('a topic with several partitions asks which one; foreign ones and nonsense are refused', async () => {
  const { log, mirror, clock } = rig();
  const { streams } = log.topic('t', 2);
  log.add(streams[1] ?? streamId(-1), 'x');
  await mirror.pause().catch(() => {});
  await mirror.start();
  await mirror.pause();
  const code = (request: Parameters<typeof mirror.skip>[0]): Promise<unknown> =>
    mirror.skip(request).catch((error: unknown) => (error as GatelogError).code);
  expect(await code({ topic: 't' })).toBe('USAGE');
  expect(await code({ topic: 't', partition: 2 })).toBe('NOT_FOUND');
  expect(await code({ topic: 't', partition: 1, count: 0 })).toBe('USAGE');
  expect(await code({ topic: 't', partition: 0 })).toBe('USAGE');
  expect(await code({ topic: 'other' })).toBe('NOT_FOUND');
  await clock.settled(mirror.stop());
});

test('while it is paused the status shows what is decided, and a second skip goes on from the first', async () => {
  const { clock, log, mirror, texts } = rig();
  const [stream = streamId(-1)] = log.topic('t').streams;
  for (const text of ['a', 'b', 'c', 'd', 'e', 'f']) log.add(stream, text);
  await mirror.start();
  await mirror.pause();
  await clock.until(() => mirror.status().state === 'paused');
  const place = { topic: 't', partition: 0 };
  expect(await mirror.skip({ topic: 't' })).toEqual({ ...place, fromOffset: 0, toOffset: 1 });
  expect(await mirror.skip({ topic: 't' })).toEqual({ ...place, fromOffset: 1, toOffset: 2 });
  await mirror.seek({ topic: 't', to: 3 });
  expect(await mirror.skip({ topic: 't' })).toEqual({ ...place, fromOffset: 3, toOffset: 4 });
  expect(pendingLines(mirror.status())).toEqual([
    't/0 is to go on from offset 3, with the next session',
    't/0 is to leave out 0, with the next session',
    't/0 is to leave out 1, with the next session',
    't/0 is to leave out 3, with the next session',
  ]);
  await mirror.resume();
  await clock.until(() => mirror.status().lagRecords === 0);
  expect(texts()).toEqual(['e', 'f']);
  expect(pendingLines(mirror.status())).toEqual([]);
  await clock.settled(mirror.stop());
});
