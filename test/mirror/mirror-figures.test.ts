import { expect, test } from 'vitest';
import { GatelogError } from '../../src/errors.ts';
import { LIMITS } from '../../src/limits.ts';
import { rig } from './mirror-rig.ts';

/** LAG and MISSING of a mirror before and after it meets what is lost already. */
test('what is lost ahead of the position is missing, and is no lag, before it is met and after', async () => {
  let away = true;
  const { clock, log, mirror, texts } = rig({
    connectFails: () =>
      away ? new GatelogError('UPSTREAM_UNREACHABLE', 'the link is down') : undefined,
  });
  const [stream] = log.topic('telemetry').streams as [never];
  for (let index = 0; index < 20; index++) log.add(stream, String(index), clock.nowMs());
  await mirror.start();
  const figures = (): unknown => {
    const { lagRecords, lagMs, recordsMissing, topics } = mirror.status();
    const [partition] = topics[0]?.partitions ?? [];
    return { lagRecords, lagMs: lagMs === 0, recordsMissing, of: partition?.recordsMissing };
  };
  expect(figures()).toEqual({ lagRecords: 20, lagMs: false, recordsMissing: 0, of: 0 });
  const lose = (fromOffset: number, toOffset: number, mirrored?: string): void => {
    const range = { topic: 'telemetry', partition: 0, fromOffset, toOffset };
    const records = toOffset - fromOffset;
    const loss = { ...range, records, bytes: undefined, reason: 'corruption', detail: '' } as const;
    log.told.push({ ...loss, mirror: mirrored });
  };
  log.trim(stream, 4); // By retention, which tells the ledger.
  lose(0, 4);
  lose(7, 9);
  lose(10, 11, 'another'); // None of ours.
  log.corrupt(stream, 7, 9);
  expect(figures()).toEqual({ lagRecords: 14, lagMs: false, recordsMissing: 6, of: 6 });
  lose(15, 20);
  log.corrupt(stream, 15, 20);
  expect(figures()).toEqual({ lagRecords: 9, lagMs: false, recordsMissing: 11, of: 11 });
  away = false;
  await clock.until(() => mirror.status().topics[0]?.partitions[0]?.position === 20);
  expect(figures()).toEqual({ lagRecords: 0, lagMs: true, recordsMissing: 11, of: 11 });
  expect(texts()).toEqual(['4', '5', '6', '9', '10', '11', '12', '13', '14']);
  await mirror.seek({ topic: 'telemetry', to: 'beginning' });
  await clock.until(() => texts().length === 18);
  expect(figures()).toEqual({ lagRecords: 0, lagMs: true, recordsMissing: 11, of: 11 });
  await mirror.stop();
});

test('class, drain, oldest record and time to go, by topic', async () => {
  const { clock, log, mirror } = rig(
    { latencyMs: () => 10_000 },
    {
      topics: [{ match: 'alarms', class: 'alarm', drain: 'live-first' }, '*'],
      batching: { maxRecords: 10 },
      window: 1,
    },
  );
  const [alarms] = log.topic('alarms').streams as [never];
  const [rest] = log.topic('telemetry').streams as [never];
  log.add(alarms, 'x', clock.nowMs());
  for (let index = 0; index < 100; index++) log.add(rest, 'x', clock.nowMs());
  await mirror.start();
  expect(mirror.status().topics).toMatchObject([
    { topic: 'alarms', class: 'alarm', drain: 'live-first', lagRecords: 1, etaMs: undefined },
    { topic: 'telemetry', class: 'normal', drain: 'backlog-first', lagRecords: 100 },
  ]);
  await clock.until(() => mirror.status().topics[1]?.lagRecords === 50);
  const { topics } = await mirror.measure();
  expect(topics[0]).toMatchObject({ lagRecords: 0, lagMs: 0, etaMs: 0 });
  // A batch of ten goes in ten seconds.
  expect(topics[1]?.lagMs).toBeGreaterThan(50_000);
  expect(topics[1]?.etaMs).toBeGreaterThan(40_000);
  expect(topics[1]?.etaMs).toBeLessThan(70_000);
  await clock.settled(mirror.stop());
});

test('a disk that does not read, or does not answer, keeps back the age of the lag and nothing else', async () => {
  const { clock, log, mirror } = rig({
    connectFails: () => new GatelogError('UPSTREAM_UNREACHABLE', 'the link is down'),
  });
  const [stream] = log.topic('telemetry').streams as [never];
  log.add(stream, 'x', clock.nowMs());
  await mirror.start();
  await clock.advance(1000);
  expect((await mirror.measure()).lagMs).toBe(1000);
  let asked = 0;
  const reader = log.reader as { timestampAt: typeof log.reader.timestampAt };
  reader.timestampAt = () => {
    asked++;
    return Promise.reject(new GatelogError('STORE_FAILING', 'a sector can not be read'));
  };
  await clock.advance(1000);
  expect(await mirror.measure()).toMatchObject({ lagRecords: 1, lagMs: 2000 });
  reader.timestampAt = () => {
    asked++;
    return new Promise(() => {});
  };
  asked = 0;
  for (let look = 0; look < 5; look++) {
    const measured = mirror.measure();
    await clock.advance(LIMITS.statusDiskMs);
    expect(await measured).toMatchObject({ lagRecords: 1 });
  }
  expect(asked).toBe(1);
  await mirror.stop();
});

test('where as much comes as goes, no time to go is told', async () => {
  const { clock, log, mirror } = rig(
    { latencyMs: () => 1000 },
    { batching: { maxRecords: 10 }, window: 1 },
  );
  const [stream] = log.topic('telemetry').streams as [never];
  for (let index = 0; index < 500; index++) log.add(stream, 'x', clock.nowMs());
  await mirror.start();
  const topic = () => mirror.status().topics[0];
  for (let second = 0; second < 90; second++) {
    await clock.advance(1000);
    for (let index = 0; index < 10; index++) log.add(stream, 'x', clock.nowMs());
  }
  expect(topic()?.lagRecords).toBeGreaterThan(300);
  expect(topic()).toMatchObject({ state: 'behind', etaMs: undefined });
  await clock.settled(mirror.stop());
});

test('when all that is left is lost, there is no lag', async () => {
  const { clock, log, mirror } = rig({
    connectFails: () => new GatelogError('UPSTREAM_UNREACHABLE', 'the link is down'),
  });
  const [stream] = log.topic('telemetry').streams as [never];
  for (let index = 0; index < 3; index++) log.add(stream, String(index), clock.nowMs());
  await mirror.start();
  log.trim(stream, 3);
  expect(mirror.status()).toMatchObject({ lagRecords: 0, lagMs: 0, recordsMissing: 3 });
  await mirror.stop();
});
