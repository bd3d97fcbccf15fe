import { must } from '../assert.ts';
import type { Loss, LossReason } from '../loss.ts';
import type { StreamId } from '../record.ts';
import type { LossLedger, ReadGap } from '../store/log.ts';
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
  readonly #positionOf: (stream: StreamId) => number;
  /** In quarantine, and not in the ledger because that could not be written. */
  #untold: Loss[] = [];

  constructor(ledger: LossLedger, mirror: string, positionOf: (stream: StreamId) => number) {
    this.#ledger = ledger;
    this.#mirror = mirror;
    this.#positionOf = positionOf;
  }

  /** Ranges that the log did not hold when their turn came. */
  missing(streams: Streams, gaps: readonly ReadGap[]): Promise<void> {
    return this.#ledger.record(
      gaps.map(({ stream, fromOffset, toOffset, reason }) =>
        reason === 'retention'
          ? this.#loss(streams, stream, fromOffset, toOffset, reason, REMOVED)
          : {
              ...this.#loss(streams, stream, fromOffset, toOffset, reason, UNREADABLE),
              mirror: undefined,
            },
      ),
    );
  }

  /** A session goes on elsewhere than where the one before came to: as the far side, or a person, wants. */
  async resuming(
    streams: Streams,
    { positions, farBehind }: Resumption,
    sought: Iterable<StreamId>,
  ): Promise<void> {
    const losses = farBehind.map(({ at, far, from }) =>
      this.#loss(streams, at.stream, far, from, 'far-behind', GONE_BACK),
    );
    for (const stream of sought) {
      const to = must(positions.get(stream), 'a sought stream is positioned');
      const from = this.#positionOf(stream);
      losses.push(
        to > from
          ? this.#loss(streams, stream, from, to, 'skipped', 'a person moved the mirror forward')
          : this.#loss(streams, stream, to, from, 'rewound', 'a person moved the mirror back'),
      );
    }
    const real = losses.filter(({ records }) => records > 0);
    if (real.length > 0) await this.#ledger.record(real);
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
    const told = this.#untold;
    await this.#ledger.record(told);
    this.#untold = this.#untold.slice(told.length);
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

const REMOVED = 'retention had removed them when their turn came';
const UNREADABLE = 'the log did not give them back when a mirror came to them';
const GONE_BACK = 'the far side went back to before them, and the log no longer holds them';
