import { describe, expect, test } from 'vitest';
import { decodeHeaders } from '../../src/headers.ts';
import { LIMITS } from '../../src/limits.ts';
import { Quarantine } from '../../src/mirror/quarantine.ts';
import { streamId } from '../../src/record.ts';
import type { LogWriter } from '../../src/store/log.ts';
import { MemoryWriter } from '../support/memory-writer.ts';
import type { SimClock } from '../support/sim-clock.ts';
import { rememberingLogger } from '../support/store-kit.ts';
import { LONG_MS, type Rig, rig } from './mirror-rig.ts';

/** Group commits that take their time: what waits when one begins is in it. */
class SlowWriter extends MemoryWriter {
  commits = 0;
  commitMs: number;
  clock: SimClock | undefined;
  #committing = false;

  constructor(commitMs: number) {
    super();
    this.commitMs = commitMs;
    this.hold();
  }

  override append(...record: Parameters<LogWriter['append']>): void {
    super.append(...record);
    if (!this.#committing) this.#commit();
  }

  /** Identities of what is stored. */
  sources(): string[] {
    return this.records.map(({ headers }) => header(headers, 'source'));
  }

  #commit(): void {
    this.#committing = true;
    this.clock?.after(0, () => {
      const covered = this.waiting;
      this.clock?.after(this.commitMs, () => {
        this.commits++;
        this.#committing = false;
        this.release(covered);
        if (this.waiting > 0 && !this.#committing) this.#commit();
      });
    });
  }
}

function header(headers: Uint8Array, name: string): string {
  const found = decodeHeaders(headers).find(({ key }) => key === `gatelog.quarantine.${name}`);
  return Buffer.from(found?.value ?? []).toString();
}

interface SlowRig extends Rig {
  readonly writer: SlowWriter;
}

/** The first `refused` of `total` records are refused, each with numbers of its own in the reason. */
function slowRig(
  refused: number,
  total: number,
  commitMs: number,
  ...[upstream = {}, mirror = {}]: Parameters<typeof rig>
): SlowRig {
  const writer = new SlowWriter(commitMs);
  const topic = writer.defineTopic('_quarantine', {
    partitions: 1,
    durability: 'fsync',
    retentionMs: undefined,
    retentionBytes: undefined,
  });
  const made = rig(
    {
      reject: (_at, { offset }) =>
        offset < refused ? `the time ${offset}99 is out of range` : undefined,
      ...upstream,
    },
    { quarantine: { writer, topic }, ...mirror },
  );
  writer.clock = made.clock;
  const [stream = streamId(-1)] = made.log.topic('t').streams;
  for (let offset = 0; offset < total; offset++) made.log.add(stream, String(offset));
  return { ...made, writer };
}

function eachOnce(count: number): string[] {
  return Array.from({ length: count }, (_, offset) => `gw/abc/t/0/${offset}`);
}

const caughtUp = ({ mirror }: Rig) => mirror.status().lagRecords === 0;

describe('a whole batch refused', () => {
  test.for([true, false])(
    'takes a few commits, and the session outlives them (far positions: %s)',
    async (exactlyOnce) => {
      const logger = rememberingLogger();
      const refused = 20_000;
      const made = slowRig(refused, refused + 3, 10_000, { exactlyOnce }, { logger });
      const { clock, mirror, writer, texts } = made;
      await mirror.start();
      await clock.until(() => caughtUp(made));
      expect(clock.monotonicMs()).toBeGreaterThan(LIMITS.mirrorSendMs);
      expect(writer.commits).toBeLessThan(25);
      expect(writer.sources()).toEqual(eachOnce(refused));
      expect(texts()).toEqual(['20000', '20001', '20002']);
      expect(mirror.status()).toMatchObject({
        state: 'live',
        reconnects: 0,
        recordsSent: 3,
        recordsRejected: refused,
        rejections: [
          {
            reason: 'the time 099 is out of range',
            records: refused,
            topic: 't',
            partition: 0,
            offset: 19_999,
          },
        ],
      });
      const lines = logger.lines.filter(({ level }) => level === 'warn');
      expect(lines).toMatchObject([
        {
          fields: {
            event: 'mirror.quarantine',
            records: refused,
            partitions: 1,
            ranges: [{ topic: 't', partition: 0, fromOffset: 0, toOffset: refused }],
          },
          message:
            '20000 records were refused and put aside: t/0 (0 to 19999): the time 099 is out of range',
        },
      ]);
      await clock.settled(mirror.stop());
    },
  );

  test('is stored once, however many sessions fail over it', async () => {
    const { clock, mirror, writer, ...made } = slowRig(3000, 3010, 10, {
      fate: (send) => (send < 5 ? 'zombie' : 'ok'),
    });
    await mirror.start();
    await clock.until(() => mirror.status().lagRecords === 0);
    expect(writer.sources()).toEqual(eachOnce(3000));
    expect(made.texts()).toHaveLength(10);
    expect(mirror.status()).toMatchObject({ reconnects: 5, recordsRejected: 3000 });
    // A person's seek is another matter: what was behind the mirror comes, and is refused, again.
    await mirror.seek({ topic: 't', to: 2990 });
    await clock.until(() => made.texts().length === 20);
    expect(writer.sources().slice(3000)).toEqual(eachOnce(3000).slice(2990));
    await clock.settled(mirror.stop());
  });

  test('does not hold up a pause; what was on its way to the disk is not stored twice', async () => {
    const { clock, mirror, writer, ...made } = slowRig(5000, 5001, 30_000);
    await mirror.start();
    await clock.advance(5000);
    await mirror.pause();
    await clock.until(() => mirror.status().state === 'paused', LIMITS.drainMs + 100);
    expect(writer.commits).toBe(0);
    await clock.advance(1000);
    await mirror.resume();
    await clock.until(() => mirror.status().lagRecords === 0);
    expect(writer.sources()).toEqual(eachOnce(5000));
    expect(made.texts()).toEqual(['5000']);
    expect(mirror.status()).toMatchObject({ recordsRejected: 5000, recordsSent: 1 });
    await clock.settled(mirror.stop());
  });

  test.for([true, false])(
    'by a log that stores nothing fails the session and not the stop (far positions: %s)',
    async (exactlyOnce) => {
      const { clock, mirror, upstream } = slowRig(10, 10, 1e9, { exactlyOnce });
      await mirror.start();
      await clock.until(() => mirror.status().lastError !== undefined);
      expect(mirror.status().lastError?.text).toBe('the log has not stored refused records for 2m');
      await clock.until(() => upstream.connects.length > 1);
      await clock.advance(1000);
      await clock.settled(mirror.stop(), LIMITS.drainMs + 100);
      expect(upstream.openSessions).toBe(0);
    },
  );
});

test.for([true, false])(
  'a log that can not be written costs time, no record (far positions: %s)',
  async (exactlyOnce) => {
    const { clock, mirror, writer } = slowRig(3000, 3001, 10, { exactlyOnce });
    await mirror.start();
    await clock.until(() => writer.commits === 1);
    writer.fail();
    await clock.until(() => mirror.status().state === 'backing off');
    expect(mirror.status().lastError?.text).toBe('the disk is full');
    writer.mend();
    await clock.until(() => mirror.status().lagRecords === 0);
    expect(writer.sources()).toEqual(eachOnce(3000));
    expect(mirror.status()).toMatchObject({ recordsRejected: 3000, recordsSent: 1 });
    await clock.settled(mirror.stop());
  },
);

describe('what is put aside', () => {
  test('is appended when the log has room, and in parts', async () => {
    const writer = new MemoryWriter();
    writer.hold();
    const one = { retentionMs: undefined, retentionBytes: undefined, durability: 'fsync' } as const;
    const topic = writer.defineTopic('_quarantine', { ...one, partitions: 1 });
    const base = { writer, topic, mirror: 'm', gateway: 'gw', incarnation: 'abc' };
    const told: number[] = [];
    const quarantine = new Quarantine({
      ...base,
      onKept: (_streams, { length }) => Promise.resolve(void told.push(length)),
    });
    const stream = streamId(7);
    const refused = Array.from({ length: 2500 }, (_, offset) => ({
      stream,
      record: {
        offset,
        timestampMs: 1,
        key: null,
        value: Buffer.alloc(offset === 0 ? LIMITS.recordBytes - 10 : 1),
        headers: Buffer.alloc(0),
      },
      reason: 'no',
    }));
    const other = Buffer.alloc(1_000_000);
    while (writer.pendingBytes() <= LIMITS.pendingBytes) {
      writer.append(streamId(0), 1, null, other, Buffer.alloc(0), 'fsync', () => {});
    }
    const busy = writer.waiting;
    const parts: number[] = [];
    const put = quarantine.put(
      new Map([[stream, { stream, topic: 't', partition: 0 }]]),
      refused,
      new AbortController().signal,
      () => void parts.push(writer.records.length),
    );
    const turn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));
    await turn();
    expect(writer.waiting).toBe(busy);
    let most = 0;
    for (let round = 0; round < 20; round++) {
      writer.release();
      await turn();
      most = Math.max(most, writer.waiting);
    }
    await put;
    expect(most).toBe(LIMITS.quarantinePartRecords);
    expect(writer.records.length).toBe(busy + 2500);
    expect(parts.length).toBe(4);
    expect(told).toEqual([2500]);
  });

  test('of the quarantine itself stays where it is', async () => {
    const { clock, log, mirror, quarantine } = rig(
      { reject: () => 'never' },
      { topics: ['*', '_quarantine'] },
    );
    const [stream = streamId(-1)] = log.topic('t').streams;
    log.add(stream, 'a');
    await mirror.start();
    await clock.until(() => mirror.status().recordsRejected === 2);
    await clock.advance(LONG_MS);
    expect(log.records(quarantine.streams[0] ?? streamId(-1))).toHaveLength(1);
    expect(mirror.status()).toMatchObject({ recordsRejected: 2, lagRecords: 0, reconnects: 0 });
    await clock.settled(mirror.stop());
  });
});
