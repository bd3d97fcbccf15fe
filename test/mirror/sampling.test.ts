import { describe, expect, test } from 'vitest';
import { must } from '../../src/assert.ts';
import { LINK_LIMITS } from '../../src/link-limits.ts';
import type { Mirror } from '../../src/mirror/mirror.ts';
import type { MeteredAction } from '../../src/mirror/policy/metered.ts';
import type { SampleRule } from '../../src/mirror/sample-rule.ts';
import type { TopicPattern } from '../../src/mirror/selection.ts';
import { SamplingCursor } from '../../src/mirror/sampling-cursor.ts';
import { SAMPLE_LIMITS } from '../../src/sample-limits.ts';
import type { LogCursor, LogReader } from '../../src/store/log.ts';
import { ShiftyLink } from '../sim/random-policy.ts';
import { rig, type Rig } from './mirror-rig.ts';
import { policyRig, type PolicyRig } from './policy/policy-rig.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const LONG_ENOUGH_FREE = LINK_LIMITS.meteredReleaseMs + 2 * LINK_LIMITS.meteredLookMs;

function topicsOf(rule: Partial<SampleRule>): TopicPattern[] {
  const sample = { when: 'metered', perMs: MINUTE, rest: 'later', ...rule } as const;
  return [{ match: 't', class: 'normal', drain: 'backlog-first', sample }, '*'];
}

function streamOf({ log }: Rig, topic = 't') {
  return must(log.topic(topic).streams[0], 'a topic has a partition');
}

/** A record of each of two devices every ten seconds, named after its device and number. */
async function live(on: Rig, seconds: number): Promise<void> {
  const stream = streamOf(on);
  for (let at = 0; at < seconds; at += 10) {
    const { endOffset } = on.log.reader.range(stream);
    for (const [index, key] of ['a', 'b'].entries()) {
      on.log.add(stream, `${key}${endOffset + index}`, on.clock.nowMs(), key);
    }
    await on.clock.advance(10 * SECOND);
  }
}

/** Offsets in the order of their arrival. */
function arrived({ upstream }: Rig, topic = 't'): number[] {
  return upstream.delivered.flatMap(({ at, record }) => (at.topic === topic ? record.offset : []));
}

const upTo = (end: number): number[] => Array.from({ length: end }, (_, offset) => offset);

async function startMetered(
  on: PolicyRig,
  link: ShiftyLink,
  rule: Partial<SampleRule> = {},
  action: MeteredAction = 'sample',
): Promise<Mirror> {
  const metered = { interfaces: ['wwan*'], networkManager: false, action };
  return on.start({ metered }, { network: link, topics: topicsOf(rule) });
}

async function minuteBegins({ clock }: Rig): Promise<void> {
  await clock.advance(MINUTE - (clock.nowMs() % MINUTE));
}

describe('while the link is metered', () => {
  test('the last record of each key of each minute goes, and the rest when it is free', async () => {
    const on = policyRig();
    const link = new ShiftyLink();
    link.isMetered = true;
    on.log.add(streamOf(on, 'other'), 'waits');
    await minuteBegins(on);
    const mirror = await startMetered(on, link);
    await live(on, 180);
    await on.clock.advance(SECOND);
    const sample = [10, 11, 22, 23, 34, 35];
    expect(arrived(on)).toEqual(sample);
    expect(arrived(on, 'other')).toEqual([]);
    const status = mirror.status();
    expect(status).toMatchObject({ state: 'metered', recordsSampled: 30, lagRecords: 31 });
    expect(status.link?.holds).toMatchObject([{ cause: 'metered', sparesSamples: true }]);
    expect(
      must(
        status.topics.find(({ topic }) => topic === 't'),
        'mirrored',
      ),
    ).toMatchObject({
      state: 'sampled',
      sample: { keep: 'last per key per 1m', rest: 'later', now: true },
      partitions: [{ position: 0, recordsAhead: 6, lagRecords: 30 }],
    });
    expect(on.upstream.positions.get(streamOf(on))).toEqual({ next: 0, ahead: [], sampledTo: 36 });
    link.isMetered = false;
    await on.clock.advance(LONG_ENOUGH_FREE);
    expect(mirror.status()).toMatchObject({ state: 'live', lagRecords: 0 });
    const rest = upTo(36).filter((offset) => !sample.includes(offset));
    expect(arrived(on)).toEqual([...sample, ...rest]);
    expect(arrived(on, 'other')).toEqual([0]);
    expect(on.upstream.positions.get(streamOf(on))).toEqual({ next: 36, ahead: [] });
    expect(on.log.told).toEqual([]);
    await on.clock.settled(mirror.stop());
  });

  test('or never, and the ledger says how many', async () => {
    const on = policyRig();
    const link = new ShiftyLink();
    link.isMetered = true;
    await minuteBegins(on);
    const mirror = await startMetered(on, link, { rest: 'ledger' });
    await live(on, 120);
    await on.clock.advance(SECOND);
    link.isMetered = false;
    await on.clock.advance(LONG_ENOUGH_FREE);
    await live(on, 10);
    await on.clock.advance(SECOND);
    expect(arrived(on)).toEqual([10, 11, 22, 23, 24, 25]);
    expect(mirror.status()).toMatchObject({ lagRecords: 0, recordsSampled: 20, recordsMissing: 0 });
    const loss = { topic: 't', partition: 0, reason: 'sampled', mirror: 'central' };
    expect(on.log.told).toMatchObject([
      { ...loss, fromOffset: 0, toOffset: 12, records: 10, bytes: 10 + 10 + 10 },
      { ...loss, fromOffset: 12, toOffset: 24, records: 10, bytes: 40 },
    ]);
    await on.clock.settled(mirror.stop());
  });

  test('a lower rate, which holds nothing back, is sampled too, and a change of the way is seen', async () => {
    const on = policyRig();
    const link = new ShiftyLink();
    await minuteBegins(on);
    const mirror = await startMetered(on, link, {}, { capBitsPerSecond: 64_000 });
    await live(on, 30);
    expect(arrived(on)).toEqual(upTo(6));
    link.isMetered = true;
    on.log.add(streamOf(on, 'other'), 'goes');
    await on.clock.advance(LINK_LIMITS.meteredLookMs + SECOND);
    await live(on, 120);
    expect(arrived(on, 'other')).toEqual([0]);
    expect(arrived(on).length).toBeLessThan(6 + 8);
    link.isMetered = false;
    await on.clock.advance(LONG_ENOUGH_FREE);
    expect(arrived(on).toSorted((one, other) => one - other)).toEqual(upTo(30));
    await on.clock.settled(mirror.stop());
  });

  test('a budget that is used up holds the sample back as well', async () => {
    const on = policyRig();
    const link = new ShiftyLink();
    link.isMetered = true;
    const metered = { interfaces: ['wwan*'], networkManager: false, action: 'sample' as const };
    const budgets = [
      { bytes: 20_000, per: 'hour' as const, resets: 0, exempt: ['alarm' as const] },
    ];
    const mirror = await on.start(
      { metered, budgets },
      { network: link, topics: topicsOf({ perMs: SECOND }) },
    );
    await on.clock.until(() => {
      for (const key of ['a', 'b', 'c'])
        on.log.add(streamOf(on), 'x'.repeat(400), on.clock.nowMs(), key);
      return mirror.status().state === 'over budget';
    });
    const before = arrived(on).length;
    await on.clock.advance(MINUTE);
    expect(arrived(on).length).toBe(before);
    await on.clock.settled(mirror.stop());
  });
});

describe('a sample that is interrupted', () => {
  test('by failures, lost answers and restarts: each record once', async () => {
    const on = policyRig({
      fate: (send) => (['ok', 'fail-after', 'fail-before', 'zombie'] as const)[send % 4] ?? 'ok',
    });
    const link = new ShiftyLink();
    link.isMetered = true;
    let mirror = await startMetered(on, link, { perMs: 15 * SECOND });
    for (let life = 0; life < 6; life++) {
      await live(on, 60);
      await on.clock.settled(mirror.stop());
      link.isMetered = life % 3 !== 2;
      mirror = await startMetered(on, link, { perMs: 15 * SECOND });
    }
    link.isMetered = false;
    await on.clock.until(() => mirror.status().lagRecords === 0);
    expect(arrived(on).toSorted((one, other) => one - other)).toEqual(upTo(72));
    expect(on.log.told).toEqual([]);
    await on.clock.settled(mirror.stop());
    mirror = await startMetered(on, link);
    await on.clock.advance(MINUTE);
    await on.clock.settled(mirror.stop());
    expect(await on.log.sampled.entries()).toEqual([]);
  });

  test('and whose book is lost: nothing comes twice, and the ledger has the rest', async () => {
    const on = policyRig();
    const link = new ShiftyLink();
    link.isMetered = true;
    await minuteBegins(on);
    const first = await startMetered(on, link);
    await live(on, 120);
    await on.clock.advance(SECOND);
    await on.clock.settled(first.stop());
    const [[key] = ['']] = await on.log.sampled.entries();
    await on.log.sampled.deleteAll([key]);
    link.isMetered = false;
    const next = await startMetered(on, link);
    await on.clock.until(() => next.status().lagRecords === 0);
    const sample = [10, 11, 22, 23];
    expect(arrived(on)).toEqual([...sample, ...upTo(22).slice(12)]);
    const loss = { reason: 'sampled', fromOffset: 0, toOffset: 12, records: 12 };
    expect(on.log.told).toMatchObject([loss]);
    expect(next.status().recordsMissing).toBe(12);
    await on.clock.settled(next.stop());
  });
});

test('a rest that a new rule gives up is in the ledger', async () => {
  const on = policyRig();
  const link = new ShiftyLink();
  link.isMetered = true;
  await minuteBegins(on);
  const first = await startMetered(on, link);
  await live(on, 60);
  await on.clock.advance(SECOND);
  await on.clock.settled(first.stop());
  const next = await startMetered(on, link, { when: 'always', rest: 'ledger' });
  await on.clock.until(() => next.status().lagRecords === 0);
  await on.clock.advance(SECOND);
  expect(arrived(on)).toEqual([10, 11]);
  expect(on.log.told).toMatchObject([
    { reason: 'sampled', fromOffset: 0, toOffset: 12, records: 10 },
  ]);
  expect(on.upstream.positions.get(streamOf(on))).toEqual({ next: 12, ahead: [] });
  await on.clock.settled(next.stop());
});

test('what a session was told of and did not send is in the ledger once', async () => {
  const fates = ['fail-before', 'fail-after', 'ok'] as const;
  const on = rig(
    { exactlyOnce: false, fate: (send) => fates[send] ?? 'ok' },
    { topics: topicsOf({ when: 'always', rest: 'ledger' }) },
  );
  await minuteBegins(on);
  await live(on, 60);
  await on.mirror.start();
  await on.clock.until(() => on.mirror.status().lagRecords === 0);
  expect(new Set(arrived(on))).toEqual(new Set([10, 11]));
  expect(on.log.told.map(({ records }) => records)).toEqual([10]);
  await on.clock.settled(on.mirror.stop());
});

test('what is read has its memory taken back, and the sample stays what it was', async () => {
  const { log, clock } = rig();
  const stream = must(log.topic('t').streams[0], 'it has one');
  for (let at = 0; at < 6; at++) log.add(stream, `value ${at}`, 0, at % 3 === 0 ? null : 'key');
  const reader: LogReader = {
    ...log.reader,
    range: (one) => log.reader.range(one),
    cursor: (from) => recycling(log.reader.cursor(from)),
  };
  const cursor = new SamplingCursor({
    reader,
    ranges: new Map([[stream, [{ from: 0, to: Infinity }]]]),
    ruleOf: () => ({ when: 'always', perMs: MINUTE, rest: 'ledger' }),
    clock,
    signal: new AbortController().signal,
    isHeld: () => false,
  });
  const { slices } = await cursor.next({ maxRecords: 100, maxBytes: 1e6 });
  const values = slices.flatMap(({ records }) => records.map(({ value }) => String(value)));
  expect(values).toEqual(['value 0', 'value 3', 'value 5']);
  await cursor.close();
});

/** Overwrites what it gave when that is given back. */
function recycling(inner: LogCursor): LogCursor {
  return {
    next: async (limits) => {
      const { slices, ...rest } = await inner.next(limits);
      const lent = slices.map(({ stream, records }) => ({
        stream,
        records: records.map((record) => ({ ...record, value: Buffer.from(record.value ?? []) })),
      }));
      const release = (): void => {
        for (const { records } of lent) for (const { value } of records) value.fill(0);
      };
      return { ...rest, slices: lent, release };
    },
    wait: (signal) => inner.wait(signal),
    close: () => inner.close(),
  };
}

describe('always', () => {
  const always = { topics: topicsOf({ when: 'always', rest: 'ledger' }) };

  test('a refused record of a sample is in quarantine, and no other comes in its place', async () => {
    const on = rig(
      { reject: (_at, record) => (record.offset === 10 ? 'not this' : undefined) },
      always,
    );
    await minuteBegins(on);
    await on.mirror.start();
    await live(on, 70);
    expect(arrived(on)).toEqual([11]);
    expect(on.log.records(must(on.quarantine.streams[0], 'it has one')).length).toBe(1);
    await on.clock.settled(on.mirror.stop());
  });

  test('what has no key is no sample of anything, and goes', async () => {
    const on = rig({}, always);
    const stream = streamOf(on);
    await minuteBegins(on);
    await on.mirror.start();
    for (const key of [null, 'a', null, 'a', null]) on.log.add(stream, 'x', on.clock.nowMs(), key);
    await on.clock.advance(MINUTE + SECOND);
    expect(arrived(on)).toEqual([0, 2, 3, 4]);
    await on.clock.settled(on.mirror.stop());
  });

  test('a backlog is sampled at once, but for its last minute where that is not over', async () => {
    const on = rig({}, always);
    await minuteBegins(on);
    await live(on, 610);
    await on.mirror.start();
    await on.clock.advance(SECOND);
    expect(arrived(on).length).toBe(20);
    await on.clock.advance(MINUTE);
    expect(arrived(on).length).toBe(22);
    await on.clock.settled(on.mirror.stop());
  });

  test('a long window of the past is read to its end', async () => {
    const on = rig({}, always);
    const stream = streamOf(on);
    const minute = on.clock.nowMs() - 100 * MINUTE;
    for (let at = 0; at < 3 * SAMPLE_LIMITS.readRecords; at++) on.log.add(stream, 'x', minute, 'a');
    await on.mirror.start();
    await on.clock.until(() => on.mirror.status().lagRecords === 0);
    expect(arrived(on)).toEqual([3 * SAMPLE_LIMITS.readRecords - 1]);
    await on.clock.settled(on.mirror.stop());
  });

  test('times far ahead hold nothing up for longer than a window', async () => {
    const on = rig({}, always);
    const stream = streamOf(on);
    await on.mirror.start();
    for (let at = 0; at < 5; at++) on.log.add(stream, 'x', on.clock.nowMs() + 1e12, 'a');
    await on.clock.advance(MINUTE + SECOND);
    expect(arrived(on)).toEqual([4]);
    await on.clock.settled(on.mirror.stop());
  });

  test('what would have to be remembered is bounded: then more is kept', async () => {
    const on = rig({}, always);
    const value = 'x'.repeat(SAMPLE_LIMITS.heldBytes / 8);
    for (let at = 0; at < 32; at++)
      on.log.add(streamOf(on), value, on.clock.nowMs(), `k${at % 16}`);
    await on.mirror.start();
    await on.clock.advance(MINUTE);
    expect(arrived(on).length).toBeGreaterThan(16);
    const sent = new Set(arrived(on));
    for (let at = 16; at < 32; at++) expect(sent.has(at)).toBe(true);
    await on.clock.settled(on.mirror.stop());
  });
});
