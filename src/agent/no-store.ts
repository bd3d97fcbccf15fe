import { GatelogError } from '../errors.ts';
import { LOSS_REASONS, type LossTotals } from '../loss.ts';
import { streamId } from '../record.ts';
import type {
  AppendDone,
  LogReader,
  LogWriter,
  LossLedger,
  TopicInfo,
  TopicOptions,
} from '../store/log.ts';

/** Stands in for a log that can't be opened: it knows topics, and takes and holds nothing. */
export class NoLogWriter implements LogWriter {
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
