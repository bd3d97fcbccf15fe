import { consumeLines, GAP_LINE, type ConsumeRequest } from '../admin/consume.ts';
import { ControlClient } from '../admin/control-client.ts';
import type { RecordJson } from '../admin/record-json.ts';
import { GatelogError } from '../errors.ts';
import { METRICS } from '../health.ts';
import { IDENTITY_HEADER, parseIdentity } from '../identity.ts';
import { GAPS } from '../loss.ts';
import { isoTime } from '../time.ts';
import type { CliContext } from './context.ts';
import type { Told } from './fleet-book.ts';
import { withFolderInstead } from './folder.ts';

/** One read of a topic, from a running agent or from a folder. */
interface LogPlace {
  /** Whose log it is. */
  readonly gateway: string;
  /** How many a topic has; 0: it is not there. */
  partitions(topic: string): number;
  lines(request: ConsumeRequest, from: string): Promise<AsyncIterable<string>>;
}

/**
 * What gateways told of themselves, as a central gatelog has it in its own log: those that mirror to it over MQTT,
 * and itself. In passes, each from where the last one ended.
 */
export class FleetLog {
  readonly #context: CliContext;
  readonly #folder: string;
  readonly #sinceMs: number;
  readonly #signal: AbortSignal;
  /** By `topic/partition`: where the next pass goes on. */
  readonly #next = new Map<string, number>();

  constructor(context: CliContext, folder: string, sinceMs: number, signal: AbortSignal) {
    this.#context = context;
    this.#folder = folder;
    this.#sinceMs = sinceMs;
    this.#signal = signal;
  }

  /** Throws NOT_FOUND while no gateway tells of itself there. */
  async pass(take: (told: Told) => void): Promise<void> {
    const client = new ControlClient(this.#folder);
    try {
      const { gateway, topics } = await client.wholeStatus();
      await this.#read(take, {
        gateway,
        partitions: (wanted) => topics.find(({ name }) => name === wanted)?.partitions.length ?? 0,
        lines: (request, from) => client.consume(request, from, this.#signal),
      });
    } catch (error) {
      await withFolderInstead(this.#context, this.#folder, error, ({ reader, identity }) =>
        this.#read(take, {
          gateway: identity.gateway ?? '',
          partitions: (wanted) => reader.topic(wanted)?.streams.length ?? 0,
          lines: (request) => Promise.resolve(consumeLines(reader, request, this.#signal)),
        }),
      );
    }
  }

  async #read(take: (told: Told) => void, place: LogPlace): Promise<void> {
    if (place.partitions(METRICS) === 0) {
      const message = `there is no topic ${METRICS} in ${this.#folder}: no gateway that mirrors there tells of itself yet (metrics.interval in its configuration)`;
      throw new GatelogError('NOT_FOUND', message);
    }
    for (const topic of [METRICS, GAPS]) {
      for (let partition = 0; partition < place.partitions(topic); partition++) {
        await this.#readPartition(take, place, topic, partition);
      }
    }
  }

  async #readPartition(
    take: (told: Told) => void,
    place: LogPlace,
    topic: string,
    partition: number,
  ): Promise<void> {
    const key = `${topic}/${partition}`;
    const timestampMs = topic === METRICS ? this.#sinceMs : 0;
    const next = this.#next.get(key);
    const start = next ?? { timestampMs };
    const request = { topic, partition, from: start, follow: false, limit: undefined };
    const from = next === undefined ? isoTime(timestampMs) : String(next);
    for await (const block of await place.lines(request, from)) {
      for (const line of block.split('\n')) {
        if (line === '' || line.startsWith(GAP_LINE)) continue;
        const record = JSON.parse(line) as RecordJson;
        this.#next.set(key, record.offset + 1);
        take(toldBy(record, place.gateway));
      }
    }
  }
}

/** What came from another gateway says whose it is; what does not is this log's own. */
function toldBy({ topic, offset, value, headers }: RecordJson, gateway: string): Told {
  const text = headers.findLast(({ key }) => key === IDENTITY_HEADER)?.value ?? undefined;
  const identity = text === undefined ? undefined : parseIdentity(text);
  const own = typeof value === 'string' ? Buffer.from(value) : null;
  return { ...(identity ?? { gateway, topic, incarnation: '', offset }), own };
}
