import { messageOf } from '../errors.ts';
import type { Loss } from '../loss.ts';
import type { Logger } from '../telemetry.ts';
import { formatSize } from '../units.ts';
import { counted } from '../words.ts';
import type { Ledger } from './ledger.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import type { Segments } from './segments.ts';

export interface DamageReportOptions {
  readonly state: LogState;
  readonly segments: Segments;
  readonly lookup: Lookup;
  readonly ledger: Ledger;
  readonly logger: Logger;
}

/**
 * Tells what was found damaged while the store runs: into the loss ledger, with the size that the
 * records around it make likely, and one line into the log for every range that nobody told before.
 */
export class DamageReport {
  readonly #options: DamageReportOptions;

  constructor(options: DamageReportOptions) {
    this.#options = options;
  }

  /** Durable when it resolves. Rejects when the ledger can't be written. */
  async tell(losses: readonly Loss[], foundBy: 'reader' | 'check'): Promise<void> {
    const { ledger, logger } = this.#options;
    const fresh = await ledger.tell(await this.sized(losses));
    for (const loss of fresh) {
      const { topic, partition, fromOffset, toOffset, records, bytes, detail } = loss;
      const place = await this.#placeOf(loss);
      const segment = place?.first;
      const where =
        segment === undefined ? '' : ` of the segment that begins with commit ${segment}`;
      const size = bytes === undefined ? '' : `, about ${formatSize(bytes)}`;
      const last = (toOffset ?? 0) - 1;
      const offsets =
        fromOffset === last ? `offset ${last}` : `offsets ${String(fromOffset)} to ${last}`;
      logger.error(
        {
          event: 'store.damaged',
          foundBy,
          segment,
          topic,
          partition,
          fromOffset,
          toOffset,
          records,
          bytes,
          detail,
        },
        `${counted(records, 'record')} of ${topic}/${partition}${where} can not be read (${offsets}` +
          `${size}): in the loss ledger now, and readers go on after them`,
      );
    }
  }

  /** The same losses; where nobody knows the size, with one by the average of what stood around. */
  async sized(losses: readonly Loss[]): Promise<Loss[]> {
    const sized: Loss[] = [];
    for (const loss of losses) {
      const place = loss.bytes === undefined ? await this.#placeOf(loss) : undefined;
      sized.push(place === undefined ? loss : { ...loss, bytes: sizeOf(loss, place) });
    }
    return sized;
  }

  /** A disk that reads nothing now keeps no loss from being told. */
  async #placeOf(loss: Loss): Promise<Place | undefined> {
    try {
      return await this.#around(loss);
    } catch (error) {
      this.#options.logger.debug({ error: messageOf(error) }, 'a loss was told without its place');
      return undefined;
    }
  }

  /** Between the last segment that begins before it and the first that begins after it. */
  async #around({ topic, partition, fromOffset, toOffset }: Loss): Promise<Place | undefined> {
    const { state, segments, lookup } = this.#options;
    const stream = state.registry.get(topic)?.streams[partition ?? -1];
    if (stream === undefined || fromOffset === undefined || toOffset === undefined)
      return undefined;
    const first = segments.holding(await lookup.commitBefore(stream, fromOffset));
    const beginning = first === undefined ? undefined : await lookup.beginning(first);
    const { heads } = state;
    let end = { next: heads.committed[stream] ?? 0, stored: heads.stored[stream] ?? 0 };
    for (const later of segments.firsts.filter((other) => other > (first ?? 0))) {
      const after = await lookup.beginning(later);
      if ((after?.next[stream] ?? 0) < toOffset) continue;
      end = { next: after?.next[stream] ?? 0, stored: after?.stored[stream] ?? 0 };
      break;
    }
    const next = beginning?.next[stream] ?? 0;
    const stored = beginning?.stored[stream] ?? 0;
    return { first, records: end.next - next, bytes: end.stored - stored };
  }
}

/** What its surroundings hold, damaged or not. */
interface Place {
  readonly first: number | undefined;
  readonly records: number;
  readonly bytes: number;
}

function sizeOf({ records }: Loss, around: Place): number | undefined {
  if (around.records <= 0 || around.bytes <= 0) return undefined;
  return Math.round((around.bytes * Math.min(records, around.records)) / around.records);
}
