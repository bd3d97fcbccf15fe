import { expect, test } from 'vitest';
import { type Coverage, upTo } from '../../../src/coverage.ts';
import { PROGRESS } from '../../../src/mirror/mqtt/handshake-run.ts';
import { Handshakes } from '../../../src/mirror/mqtt/handshakes.ts';
import { type LogRecord, streamId, type StreamId } from '../../../src/record.ts';
import type { KeyValue, Slice } from '../../../src/store/log.ts';

const A = streamId(0);
const B = streamId(1);
const FAR = 'gw abc mqtt://far gatelog-gw';

/** What is stored, what positions say, and writes that can be held. */
class Disk {
  readonly values = new Map<string, Uint8Array>();
  readonly had = new Map<StreamId, Coverage>([
    [A, upTo(0)],
    [B, upTo(0)],
  ]);
  ends = 1_000_000;
  held: (() => void)[] | undefined;
  writes = 0;

  readonly keyValue: KeyValue = {
    get: (key) => Promise.resolve(this.values.get(key)),
    put: async (key, value) => {
      if (this.held !== undefined) {
        await new Promise<void>((resolve) => this.held?.push(resolve));
      }
      this.writes++;
      this.values.set(key, value);
    },
    delete: () => Promise.resolve(),
  };

  open(isDoubtful = false): Handshakes {
    const { keyValue: values, ends } = this;
    const streams = [A, B];
    return new Handshakes({
      values,
      hadOf: (stream) => this.had.get(stream),
      reader: {
        topics: () => [{ streams }] as never,
        range: () => ({ startOffset: 0, endOffset: ends }),
      },
      isDoubtful,
    });
  }
}

function records(stream: StreamId, from: number, to: number): Slice {
  const one = (offset: number): LogRecord => ({
    offset,
    timestampMs: 0,
    key: null,
    value: null,
    headers: new Uint8Array(0),
  });
  return { stream, records: Array.from({ length: to - from }, (_, at) => one(from + at)) };
}

async function begun(disk: Disk, isDoubtful = false, far = FAR): Promise<Handshakes> {
  const handshakes = disk.open(isDoubtful);
  expect(await handshakes.begin(far, [A, B], new Set())).toBe(true);
  handshakes.isDurable = true;
  return handshakes;
}

test('ids are durable before anything is sent under them, and the same after a crash', async () => {
  const disk = new Disk();
  const first = await begun(disk);
  disk.held = [];
  let ready = false;
  const taken = first.takeUp([records(A, 0, 5), records(B, 7, 9), records(A, 5, 6)]);
  void taken?.then(() => (ready = true));
  await new Promise(setImmediate);
  expect(ready).toBe(false);
  for (const write of disk.held.splice(0)) write();
  disk.held = undefined;
  expect(await taken).toBe(true);
  const sent = [0, 1, 5].map((offset) => first.sent(A, offset));
  expect(sent.map(({ dup }) => dup)).toEqual([false, false, false]);

  const second = await begun(disk);
  expect(second.isOpen).toBe(true);
  expect([0, 1, 5].map((offset) => second.sent(A, offset))).toEqual(
    sent.map(({ id }) => ({ id, dup: true })),
  );
  expect(second.idOf(B, 7)).toBe(first.idOf(B, 7));
  const ids = new Set([
    ...[0, 1, 2, 3, 4, 5].map((offset) => second.idOf(A, offset)),
    ...[7, 8].map((offset) => second.idOf(B, offset)),
  ]);
  expect(ids.size).toBe(8);
});

test('what the far side has is durable before its PUBREL, and asked for again only until it answers', async () => {
  const disk = new Disk();
  const first = await begun(disk);
  await first.takeUp([records(A, 0, 3)]);
  const [one, two] = [first.sent(A, 0).id, first.sent(A, 1).id];
  disk.held = [];
  let ready = 0;
  const received = [one, two].map((id) => first.received(id).then(() => ready++));
  await new Promise(setImmediate);
  expect(ready).toBe(0);
  const held = disk.held;
  disk.held = undefined;
  for (const write of held) write();
  await Promise.all(received);
  first.done(A, 0);
  expect(first.receivedIds()).toEqual([two]);

  const second = await begun(disk);
  expect(second.receivedIds()).toEqual([one, two]);
  expect([0, 1, 2].map((offset) => second.isHad(A, offset))).toEqual([true, true, false]);
  expect(second.released(one)).toEqual({ stream: A, offset: 0 });
  expect(second.released(two)).toEqual({ stream: A, offset: 1 });
  expect(second.receivedIds()).toEqual([]);
});

test('after a session that ended in good order nothing is left to be sent again', async () => {
  const disk = new Disk();
  const first = await begun(disk);
  await first.takeUp([records(A, 0, 2)]);
  for (const offset of [0, 1]) {
    await first.received(first.sent(A, offset).id);
    first.done(A, offset);
  }
  expect((await begun(disk)).receivedIds()).toHaveLength(1);
  await first.settled();
  expect((await begun(disk)).receivedIds()).toEqual([]);
});

test('many PUBRECs at once are few writes', async () => {
  const disk = new Disk();
  const handshakes = await begun(disk);
  await handshakes.takeUp([records(A, 0, 1000)]);
  const before = disk.writes;
  const ids = Array.from({ length: 1000 }, (_, offset) => handshakes.sent(A, offset).id);
  await Promise.all(ids.map((id) => handshakes.received(id)));
  expect(disk.writes - before).toBeLessThanOrEqual(2);
});

test('with QoS 1 nothing is written, and what was acknowledged is known', async () => {
  const disk = new Disk();
  const handshakes = await begun(disk);
  handshakes.isDurable = false;
  expect(handshakes.takeUp([records(A, 0, 3)])).toBeUndefined();
  expect(handshakes.sent(A, 0)).toEqual({ id: 0, dup: false });
  handshakes.done(A, 0);
  expect(handshakes.isOpen).toBe(false);
  expect(handshakes.takeUp([records(A, 0, 4)])).toBeUndefined();
  expect([0, 1].map((offset) => handshakes.isHad(A, offset))).toEqual([true, false]);
  expect(disk.writes).toBe(0);
});

test('what positions cover is forgotten, and its ids come round last', async () => {
  const disk = new Disk();
  const handshakes = await begun(disk);
  let last = 0;
  for (let round = 0; round < 40; round++) {
    const [from, to] = [round * 4000, round * 4000 + 4000];
    expect(await handshakes.takeUp([records(A, from, to)])).toBe(true);
    const id = handshakes.idOf(A, from);
    expect(id === last + 4000 || (id === 1 && last > 56_000) || round === 0).toBe(true);
    last = id;
    handshakes.sent(A, from);
    handshakes.done(A, from);
    disk.had.set(A, upTo(to));
  }
  const stored = Buffer.from(disk.values.get('handshakes') ?? []).toString();
  expect(stored.length).toBeLessThan(1000);
});

test('no ids while positions stand still; then again', async () => {
  const disk = new Disk();
  const handshakes = await begun(disk);
  for (let round = 0; round < 16; round++) {
    const taken = await handshakes.takeUp([records(A, round * 4096, (round + 1) * 4096)]);
    expect(taken).toBe(round < 15);
  }
  disk.had.set(A, upTo(4096));
  expect(await handshakes.takeUp([records(A, 15 * 4096, 16 * 4096)])).toBe(true);
});

test('a lost session: what was acknowledged stays so, the rest is sent anew', async () => {
  const disk = new Disk();
  const handshakes = await begun(disk);
  await handshakes.takeUp([records(A, 0, 4)]);
  const ids = [0, 1, 2].map((offset) => handshakes.sent(A, offset).id);
  await handshakes.received(ids[0] ?? 0);
  handshakes.done(A, 0);
  await handshakes.received(ids[1] ?? 0);
  handshakes.forget();
  expect(handshakes.isOpen).toBe(false);
  expect([0, 1, 2].map((offset) => handshakes.progress(A, offset))).toEqual([
    PROGRESS.done,
    PROGRESS.none,
    PROGRESS.none,
  ]);
  expect(handshakes.sent(A, 1).dup).toBe(false);
});

test.each([
  ['a stream that takes no part', [B], []],
  ['a stream that a person sought', [A, B], [A]],
] as const)('ids of %s: not with that session', async (_name, streams, sought) => {
  const disk = new Disk();
  const handshakes = await begun(disk);
  await handshakes.takeUp([records(A, 0, 4)]);
  handshakes.sent(A, 0);
  expect(await handshakes.begin(FAR, streams, new Set(sought))).toBe(false);
  expect(handshakes.isOpen).toBe(false);
});

test('after a seek everything is sent again, also after a crash', async () => {
  const disk = new Disk();
  const handshakes = await begun(disk);
  await handshakes.takeUp([records(A, 0, 2)]);
  await handshakes.received(handshakes.sent(A, 0).id);
  handshakes.done(A, 0);
  await handshakes.begin(FAR, [A, B], new Set([A]));
  expect(handshakes.isHad(A, 0)).toBe(false);
  expect((await begun(disk)).isHad(A, 0)).toBe(false);
});

test('a refused record holds nothing up, and is refused again when it comes again', async () => {
  const disk = new Disk();
  const handshakes = await begun(disk);
  await handshakes.takeUp([records(A, 0, 1)]);
  handshakes.sent(A, 0);
  handshakes.refused(A, 0);
  expect(handshakes.isOpen).toBe(false);
  expect(handshakes.isHad(A, 0)).toBe(false);
});

test.each([
  ['another far side', (disk: Disk) => begun(disk, false, 'mqtt://other')],
  ['a state database that stepped back', (disk: Disk) => begun(disk, true)],
  [
    'a log that ends before them',
    (disk: Disk) => {
      disk.ends = 3;
      return begun(disk);
    },
  ],
])('%s: what is stored is not believed', async (_name, again) => {
  const disk = new Disk();
  const first = await begun(disk);
  await first.takeUp([records(A, 0, 4)]);
  first.sent(A, 0);
  const second = disk.open();
  expect(await second.begin(FAR, [A, B], new Set())).toBe(true);
  expect(second.isOpen).toBe(true);
  const third = await again(disk);
  expect(third.isOpen).toBe(false);
  expect(third.sent(A, 0).dup).toBe(false);
});

test('what is stored and unreadable is said', async () => {
  const disk = new Disk();
  disk.values.set('handshakes', Buffer.from('{'));
  await expect(begun(disk)).rejects.toThrow(/what the MQTT mirror has under way is not readable/u);
});
