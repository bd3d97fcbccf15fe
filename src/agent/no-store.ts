import { GatelogError } from '../errors.ts';
import { LOSS_REASONS, type LossTotals } from '../loss.ts';
import { streamId } from '../record.ts';
import type {
  AppendDone,
  KeyWrite,
  LogReader,
  LogWriter,
  LossLedger,
  ProducerBook,
  TopicInfo,
  TopicOptions,
} from '../store/log.ts';

const NO_PRODUCERS: ProducerBook = {
  last: () => -1,
  startingWith: () => [],
  forget: () => {},
  devices: () => ({ remembered: 0, forgotten: 0 }),
};

/** Stands in for a log that can't be opened: it knows topics, and takes and holds nothing. */
export class NoLogWriter implements LogWriter {
  readonly producers: ProducerBook = NO_PRODUCERS;
  readonly #refusal: GatelogError;
  readonly #topics = new Map<string, TopicInfo>();
  #streams = 0;

  constructor(refusal: GatelogError) {
    this.#refusal = refusal;
  }

  defineTopic(name: string, options: TopicOptions): TopicInfo {
    const known = this.#topics.get(name);
    if (known !== undefined) return known;
    const streams = Array.from({ length: options.partitions }, () => streamId(this.#streams++));
    const topic = { name, options, streams };
    this.#topics.set(name, topic);
    return topic;
  }

  append(...[, , , , , , done]: Parameters<LogWriter['append']>): void {
    done(this.#refusal, -1);
  }

  appendOnce(...[, , , , , , , , done]: Parameters<LogWriter['appendOnce']>): void {
    done(this.#refusal, -1);
  }

  settled(done: AppendDone): void {
    done(null, -1);
  }

  pendingBytes(): number {
    return 0;
  }

  relieved(): Promise<void> {
    return Promise.resolve();
  }
}

function nothing(): never {
  throw new GatelogError('NOT_FOUND', 'the log is not open');
}

export const NO_READER: LogReader = {
  topics: () => [],
  topic: () => undefined,
  range: nothing,
  topicBytes: () => 0,
  timestampAt: () => Promise.resolve(undefined),
  offsetAtTime: nothing,
  cursor: nothing,
};

const NO_LOSSES = Object.fromEntries(
  LOSS_REASONS.map((reason) => [reason, { records: 0, bytes: 0 }]),
) as LossTotals;

export const NO_LEDGER: LossLedger = {
  record: () => Promise.resolve(),
  entries: async function* entries() {},
  lost: () => [],
  totals: () => NO_LOSSES,
};

/** Stands in for the state database: values that end with the process. */
export class MemorySpace {
  readonly #values = new Map<string, Uint8Array>();

  get(key: string): Promise<Uint8Array | undefined> {
    return Promise.resolve(this.#values.get(key));
  }

  write(writes: readonly KeyWrite[]): Promise<void> {
    for (const { key, value } of writes) {
      if (value === undefined) this.#values.delete(key);
      else this.#values.set(key, value);
    }
    return Promise.resolve();
  }

  async *scan(prefix: string): AsyncGenerator<readonly [key: string, value: Uint8Array]> {
    for (const entry of [...this.#values].toSorted(byKey)) {
      if (entry[0].startsWith(prefix)) yield entry;
    }
  }
}

function byKey([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number {
  return one < other ? -1 : 1;
}
