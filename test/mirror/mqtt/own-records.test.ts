import { beforeEach, describe, expect, test } from 'vitest';
import { OwnRecords, type Place } from '../../../src/mirror/mqtt/own-records.ts';
import type { MirrorStream } from '../../../src/mirror/upstream.ts';
import { type StreamId, streamId } from '../../../src/record.ts';
import type { LogReader } from '../../../src/store/log.ts';
import { MemoryLog } from '../../support/memory-log.ts';

/** What can be ours at a far side that says what it has last: across sessions, mirrors and lives. */
const STREAM = streamId(3);
const AT: MirrorStream = { stream: STREAM, topic: 't', partition: 0 };
const OWNER = { where: 'mqtt://far', gateway: 'gw', incarnation: 'abc' };
let log: MemoryLog;
beforeEach(() => {
  log = new MemoryLog();
});

/** Of a log that ends there. */
function readerAt(endOffset: number): Pick<LogReader, 'topics' | 'range'> {
  const options = { partitions: 1, durability: 'fsync' } as const;
  const forEver = { ...options, retentionMs: undefined, retentionBytes: undefined };
  return {
    topics: () => [{ name: 't', options: forEver, streams: [STREAM] }],
    range: () => ({ startOffset: 0, endOffset }),
  };
}

/** A process that opens a log which ends there. */
function life(end: number): OwnRecords {
  return new OwnRecords(log.keyValue, readerAt(end));
}

async function session(own: OwnRecords, seek?: number, owner = OWNER): Promise<Place> {
  const seeks = new Map<StreamId, number>(seek === undefined ? [] : [[STREAM, seek]]);
  const [place] = await own.begin(owner, [AT], seeks);
  if (place === undefined) throw new Error('every stream has a place');
  return place;
}

/** As a session does: noted, sent, answered. True: the far side has others'. */
async function send(
  own: OwnRecords,
  place: Place,
  offset: number,
  last?: number,
): Promise<boolean> {
  if (!place.proven) await own.tries([{ place: place, offset: offset }]);
  place.sent = offset;
  if (last !== undefined && own.isForeign(place, last)) {
    await own.foreign(OWNER, place, offset, last);
    own.left([place]);
    return true;
  }
  if (!place.proven) await own.proved([place]);
  return false;
}

describe('ordinary repeats', () => {
  test('of what lives before this one sent', async () => {
    const own = life(100);
    const place = await session(own);
    expect(await send(own, place, 90, 99)).toBe(false);
    expect(place.proven).toBe(true);
  });

  test('of the first new record, whose answer a crash took', async () => {
    const first = life(100);
    await first.tries([{ place: await session(first), offset: 100 }]);
    const next = life(140);
    expect(await send(next, await session(next), 100, 100)).toBe(false);
  });

  test('of new records, whose answers a crash or a cut link took', async () => {
    const own = life(100);
    const place = await session(own);
    expect(await send(own, place, 100)).toBe(false);
    place.sent = 180;
    own.left([place]);
    expect(await send(own, await session(own), 101, 180)).toBe(false);
    const next = life(181);
    expect(await send(next, await session(next), 101, 180)).toBe(false);
  });

  test('of what another mirror sent to the same far side, in this life or one before', async () => {
    const own = life(100);
    const one = await session(own);
    const other = await session(own);
    expect(await send(own, other, 100)).toBe(false);
    other.sent = 150;
    expect(await send(own, one, 100, 150)).toBe(false);
    own.left([other]);
    expect(await send(own, one, 101, 150)).toBe(false);
  });

  test('after a seek back', async () => {
    const own = life(100);
    const place = await session(own);
    expect(await send(own, place, 100)).toBe(false);
    own.left([place]);
    expect(await send(own, await session(own, 0), 0, 100)).toBe(false);
  });

  test('under another name nothing was sent before', async () => {
    const own = life(100);
    expect(await send(own, await session(own), 100, 150)).toBe(true);
    await expect(session(own)).rejects.toThrow('100 to 150');
    const renamed = await session(own, undefined, { ...OWNER, gateway: 'gw2' });
    expect(await send(own, renamed, 100)).toBe(false);
  });
});

describe('others’ records', () => {
  test.each([100, 101, 5000])('up to %i where the log ended at 100', async (last) => {
    const own = life(100);
    expect(await send(own, await session(own), 95, last)).toBe(true);
    await expect(session(own)).rejects.toMatchObject({ code: 'UPSTREAM_MISMATCH' });
    await expect(session(own)).rejects.toThrow(`t/0 100 to ${last}`);
  });

  test('are found after lives that sent nothing, however much came in meanwhile', async () => {
    await session(life(100));
    await session(life(130));
    const own = life(400);
    expect(await send(own, await session(own), 100, 150)).toBe(true);
  });

  test('of a topic that this log did not know', async () => {
    const own = new OwnRecords(log.keyValue, log.reader);
    expect(await send(own, await session(own), 0, 40)).toBe(true);
  });

  test('of a copy that sends at the same time', async () => {
    const own = life(100);
    const place = await session(own);
    expect(await send(own, place, 100)).toBe(false);
    place.sent = 120;
    expect(await send(own, place, 121, 160)).toBe(true);
    // What the first of them was sent beyond the last answer counts no more.
    await expect(session(life(200))).rejects.toThrow('t/0 121 to 160');
  });

  test('wait for a person through restarts; then ours are put aside, and those behind are proven', async () => {
    const own = life(100);
    expect(await send(own, await session(own), 100, 150)).toBe(true);
    await expect(session(life(400))).rejects.toThrow('100 to 150');
    const next = life(401);
    const place = await session(next, 100);
    expect(place.aside).toEqual([{ from: 100, to: 151 }]);
    expect(await send(next, place, 151)).toBe(false);
    // The position may not have moved yet: they are put aside again, not taken for sent.
    expect((await session(life(500))).aside).toEqual([{ from: 100, to: 151 }]);
    expect((await session(life(500))).proven).toBe(false);
  });

  test('a person who sought before they were found is not asked', async () => {
    const own = life(100);
    const place = await session(own, 100);
    expect(await send(own, place, 100, 150)).toBe(true);
    expect((await session(own)).aside).toEqual([{ from: 100, to: 151 }]);
  });
});

test('what can not be noted is not sent, and counts for nothing', async () => {
  let full = false;
  const { keyValue } = log;
  const own = new OwnRecords(
    {
      ...keyValue,
      put: (key, value) =>
        full ? Promise.reject(new Error('disk full')) : keyValue.put(key, value),
    },
    readerAt(100),
  );
  const place = await session(own);
  full = true;
  await expect(own.tries([{ place: place, offset: 100 }])).rejects.toThrow('disk full');
  own.left([place]);
  await expect(session(own)).rejects.toThrow('disk full');
  full = false;
  const again = await session(own);
  expect(own.isForeign(again, 100)).toBe(true);
  full = true;
  await expect(own.foreign(OWNER, again, 100, 100)).rejects.toThrow('disk full');
  await expect(session(own)).rejects.toThrow('disk full');
  full = false;
  await expect(session(own)).rejects.toThrow('t/0 100 to 100');
});

describe('what a start notes for streams that nothing is sent of', () => {
  test('keeps the bound of a paused mirror where its older copy ended, through restarts', async () => {
    await life(40).expects(OWNER, [AT]);
    // Records came while it was paused; the next process begins behind what the far side has.
    const own = life(110);
    await own.expects(OWNER, [AT]);
    const place = await session(own);
    expect(await send(own, place, 40, 99)).toBe(true);
  });

  test('is nothing for a stream that was proven, and its bound begins where the log ends', async () => {
    const own = life(40);
    await own.expects(OWNER, [AT]);
    const place = await session(own);
    expect(await send(own, place, 40)).toBe(false);
    own.left([place]);
    const next = life(60);
    await next.expects(OWNER, [AT]);
    expect(await send(next, await session(next), 50, 59)).toBe(false);
  });

  test('is not believed when the state database stepped back: a far side that has more is asked about by nobody', async () => {
    await life(40).expects(OWNER, [AT]);
    const doubtful = new OwnRecords(log.keyValue, readerAt(100), true);
    await doubtful.expects(OWNER, [AT]);
    expect(await send(doubtful, await session(doubtful), 40, 99)).toBe(false);
    // Nor by the next process.
    const next = life(100);
    expect(await send(next, await session(next), 40, 99)).toBe(false);
  });

  test('leaves what waits for a person, whatever happened to the state database', async () => {
    const own = life(40);
    const place = await session(own);
    expect(await send(own, place, 40, 99)).toBe(true);
    const doubtful = new OwnRecords(log.keyValue, readerAt(40), true);
    await expect(session(doubtful)).rejects.toMatchObject({ code: 'UPSTREAM_MISMATCH' });
  });
});

test('a central that a second mirror reaches under another address is named as what it may be', async () => {
  const alsoTo = (topic: string): string[] => (topic === 't' ? ['mqtt://10.0.0.1'] : []);
  const own = new OwnRecords(log.keyValue, readerAt(10), false, alsoTo);
  const place = await session(own);
  expect(await send(own, place, 10, 30)).toBe(true);
  const refusal = await own.begin(OWNER, [AT], new Map()).catch((error: unknown) => error);
  expect(String(refusal)).toContain(
    'or mqtt://10.0.0.1, where this gateway sends t too, is the same central under another address: then give both mirrors one address. What this log',
  );
});
