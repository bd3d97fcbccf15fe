import { must } from '../assert.ts';
import {
  type Coverage,
  type Coverages,
  holesIn,
  topOf,
  union,
  upTo,
  without,
} from '../coverage.ts';
import type { Loss, LossReason } from '../loss.ts';
import { type OffsetRange, RangeSet } from '../range-set.ts';
import type { StreamId } from '../record.ts';
import type { LossLedger } from '../store/log.ts';
import { runsOf } from './batch-ranges.ts';
import type { Expired, MirrorGap, Sampled } from './mirror-cursor.ts';
import type { Resumption } from './positions.ts';
import type { Refused } from './pump.ts';
import { groupRefused } from './rejections.ts';
import type { MirrorStream } from './upstream.ts';

type Streams = ReadonlyMap<StreamId, MirrorStream>;

/**
 * What a mirror tells the loss ledger, always before its position moves past it: a crash in between
 * tells it again, which does no harm, and never leaves it out.
 */
export class MirrorLosses {
  readonly #ledger: LossLedger;
  readonly #mirror: string;
  /** As far as this mirror has come. */
  readonly #hadOf: (stream: StreamId) => Coverage;
  /** Told as left out by sampling: a range that stands among others counts as often as it is told. */
  readonly #sampled = new Map<StreamId, RangeSet>();
  /** In quarantine, and not in the ledger because that could not be written. */
  #untold: Loss[] = [];

  constructor(ledger: LossLedger, mirror: string, hadOf: (stream: StreamId) => Coverage) {
    this.#ledger = ledger;
    this.#mirror = mirror;
    this.#hadOf = hadOf;
  }

  /** Ranges that the log did not hold when their turn came, or that a person wanted left out. */
  missing(streams: Streams, gaps: readonly MirrorGap[]): Promise<void> {
    return this.#ledger.record(
      gaps.map(({ stream, fromOffset, toOffset, reason }) =>
        reason !== 'corruption'
          ? this.#loss(streams, stream, fromOffset, toOffset, reason, WHY[reason])
          : {
              ...this.#loss(streams, stream, fromOffset, toOffset, reason, UNREADABLE),
              mirror: undefined,
            },
      ),
    );
  }

  /** Left out because the time that their devices gave them was over. */
  expired(streams: Streams, expired: readonly Expired[]): Promise<void> {
    return this.#ledger.record(
      expired.flatMap(({ stream, offsets, bytes }) => {
        const runs = runsOf(offsets);
        const first = must(runs[0], 'something expired');
        const last = must(runs.at(-1), 'something expired');
        // What is told as whole ranges counts once however often it is told.
        const told = runs.length <= EXACT_RUNS ? runs : [{ from: first.from, to: last.to }];
        return told.map(({ from, to }) => {
          const records = told === runs ? to - from : offsets.length;
          const share = Math.round((bytes * records) / offsets.length);
          const loss = this.#loss(streams, stream, from, to, 'expired', EXPIRED);
          return { ...loss, records, bytes: share };
        });
      }),
    );
  }

  /** Left out because only a sample of their topic goes, and the rest never. */
  async sampled(streams: Streams, sampled: readonly Sampled[]): Promise<void> {
    const losses = sampled.flatMap(({ stream, from, to, left, leftBytes }) => {
      const fresh = this.#freshOf(stream, left);
      if (fresh === 0) return [];
      const total = left.reduce((sum, range) => sum + range.to - range.from, 0);
      const bytes = Math.round((leftBytes * fresh) / total);
      const loss = this.#loss(streams, stream, from, to, 'sampled', SAMPLED);
      return [{ ...loss, records: fresh, bytes }];
    });
    if (losses.length > 0) await this.#ledger.record(losses);
    for (const { stream, left } of sampled) {
      const told = this.#sampled.get(stream) ?? new RangeSet('keep');
      for (const { from, to } of left) told.add(from, to);
      this.#sampled.set(stream, told);
    }
  }

  /** What the mirror has had, also ahead of a rest that it owes, is not told again. */
  passed(positions: Coverages): void {
    for (const [stream, told] of this.#sampled) {
      const had = positions.get(stream);
      if (had === undefined) continue;
      const ranges = told.within(0, topOf(had));
      // What follows on one may be told yet, and become one with it.
      const first = ranges.findIndex(({ from, to }) => holesIn(had, from, to + 1).length > 0);
      told.forgetLowest(first < 0 ? ranges.length : first);
    }
  }

  /** How many of them were not told yet by this process. */
  #freshOf(stream: StreamId, left: readonly OffsetRange[]): number {
    const told = this.#sampled.get(stream);
    let fresh = 0;
    for (const { from, to } of left) {
      for (const rest of told?.rest(from, to) ?? [{ from, to }]) fresh += rest.to - rest.from;
    }
    return fresh;
  }

  /** A session goes on elsewhere than where the one before came to: as the far side, or a person, wants. */
  async resuming(
    streams: Streams,
    { positions, farBehind, sought: before }: Resumption,
    sought: Iterable<StreamId>,
  ): Promise<void> {
    const losses = farBehind.flatMap(({ at, lost }) =>
      lost.map(({ from, to }) => this.#loss(streams, at.stream, from, to, 'far-behind', GONE_BACK)),
    );
    for (const stream of sought) {
      const { next } = must(positions.get(stream), 'a sought stream is positioned');
      const had = union(this.#hadOf(stream), before.get(stream) ?? upTo(0));
      for (const { from, to } of holesIn(had, 0, next))
        losses.push(this.#loss(streams, stream, from, to, 'skipped', MOVED_FORWARD));
      for (const { from, to } of without(had, upTo(next)))
        losses.push(this.#loss(streams, stream, from, to, 'rewound', MOVED_BACK));
    }
    if (losses.length > 0) await this.#ledger.record(losses);
  }

  /** Records that were put into quarantine; those of an earlier call that failed come with them. */
  async refused(streams: Streams, refused: readonly Refused[]): Promise<void> {
    const byReason = Map.groupBy(refused, ({ oversize }) => (oversize ? 'oversize' : 'rejected'));
    for (const [reason, some] of byReason) {
      for (const { kind, ranges } of groupRefused(some)) {
        for (const [stream, { fromOffset, toOffset, records, bytes }] of ranges) {
          const loss = this.#loss(streams, stream, fromOffset, toOffset, reason, kind);
          this.#untold.push({ ...loss, records, bytes });
        }
      }
    }
    if (this.#untold.length === 0) return;
    // Others may come to it meanwhile, whose own telling fails.
    const told = new Set(this.#untold);
    await this.#ledger.record([...told]);
    this.#untold = this.#untold.filter((one) => !told.has(one));
  }

  #loss(
    streams: Streams,
    stream: StreamId,
    fromOffset: number,
    toOffset: number,
    reason: LossReason,
    detail: string,
  ): Loss {
    const { topic, partition } = must(streams.get(stream), 'a stream of this session');
    const records = toOffset - fromOffset;
    const range = { topic, partition, fromOffset, toOffset, records, bytes: undefined };
    return { ...range, reason, detail, mirror: this.#mirror };
  }
}

/** An entry each; more of a batch's stream become one entry. */
const EXACT_RUNS = 8;
const EXPIRED = 'the time that its device gave it was over when its turn came';
const SAMPLED = 'only a sample of the topic is sent, and they were not the last of their key';
const MOVED_FORWARD = 'a person moved the mirror forward';
const MOVED_BACK = 'a person moved the mirror back';
const WHY = {
  retention: 'retention had removed them when their turn came',
  skipped: 'a person had the mirror skip them',
  sampled:
    'a sample of them was sent, and which records that were is not known any more: the others are left out',
};
const UNREADABLE = 'the log did not give them back when a mirror came to them';
const GONE_BACK = 'the far side went back to before them, and the log no longer holds them';
