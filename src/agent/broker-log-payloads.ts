import { SESSION_LIMITS } from '../session-limits.ts';
import type { LogReader } from '../store/log.ts';
import type { LogRecord } from '../record.ts';
import type { LogReference } from './broker-session-codec.ts';

/** Reads what queued messages refer to; those of one stream come in order, so it reads ahead. */
export class LogPayloads {
  readonly #reader: Pick<LogReader, 'cursor'> | undefined;
  #stream: number = -1;
  #records: ReadonlyMap<number, LogRecord> = new Map();

  constructor(reader: Pick<LogReader, 'cursor'> | undefined) {
    this.#reader = reader;
  }

  /** undefined: the log does not hold it any more. */
  async read({ stream, offset }: LogReference): Promise<Buffer | undefined> {
    const known = this.#stream === stream ? this.#records.get(offset) : undefined;
    const record = known ?? (await this.#fetch(stream, offset)).get(offset);
    const value = record?.value;
    return value === undefined || value === null ? undefined : Buffer.from(value);
  }

  async #fetch(
    stream: LogReference['stream'],
    offset: number,
  ): Promise<ReadonlyMap<number, LogRecord>> {
    if (this.#reader === undefined) return new Map();
    const cursor = this.#reader.cursor(new Map([[stream, offset]]));
    try {
      const limits = { maxRecords: SESSION_LIMITS.readRecords, maxBytes: SESSION_LIMITS.readBytes };
      const { slices } = await cursor.next(limits);
      const records = slices.flatMap((slice) => slice.records);
      const found = new Map(records.map((record) => [record.offset, record]));
      this.#stream = stream;
      this.#records = found;
      return found;
    } finally {
      await cursor.close();
    }
  }
}
