import { type Coverage, type Coverages, covers, holesIn, upTo, withRange } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import { EXPORT_LIMITS } from '../../export-limits.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { UpstreamSession } from '../upstream.ts';
import type { ExportRange } from './export-header.ts';
import type { ImportPlan } from './import-plan.ts';

/** What the centre would never get if records from `goesOn` on were sent now. */
export interface Hole {
  readonly stream: StreamId;
  readonly from: number;
  readonly goesOn: number;
}

interface OpenBatch {
  readonly records: number;
  readonly after: Coverages;
  /** Of `records`, by the centre. */
  refused: number;
}

/** What an import has brought so far, whatever number of sessions that took. */
export class ImportAccount {
  /** Handed over, its outcome not known. */
  #open: OpenBatch | undefined;
  sent = 0;
  /** Records that the centre had not. */
  taken = 0;
  /** Batches that are through. */
  batches = 0;

  begin(records: number, after: Coverages): void {
    this.#open = { records, after, refused: 0 };
  }

  refused(records: number): void {
    if (this.#open !== undefined) this.#open.refused += records;
  }

  done(): void {
    if (this.#open === undefined) return;
    const { records, refused } = this.#open;
    this.#open = undefined;
    this.sent += records - refused;
    this.taken += records;
    this.batches++;
  }

  /** A session stands anew: what became of a batch whose answer was lost. */
  settle(positions: Coverages): void {
    const after = [...(this.#open?.after ?? [])];
    if (after.every(([stream, had]) => covers(positions.get(stream) ?? upTo(0), had))) this.done();
    this.#open = undefined;
  }
}

/**
 * One session's part of an import: what the centre has not, in batches that each go in one step with
 * the position.
 */
export class ImportSending {
  readonly #session: UpstreamSession;
  readonly #plan: ImportPlan;
  readonly #account: ImportAccount;
  readonly #had: Map<StreamId, Coverage>;
  /** Of `#slices`, and of gaps: what has been had after them. */
  #after = new Map<StreamId, Coverage>();
  #slices: Slice[] = [];
  #records = 0;
  #bytes = 0;
  /** So often something was new to the centre. */
  passed = 0;

  constructor(session: UpstreamSession, plan: ImportPlan, account: ImportAccount) {
    this.#session = session;
    this.#plan = plan;
    this.#account = account;
    account.settle(session.positions);
    // Of a stream that the centre knows nothing of, the gateway's own books say what it has.
    const byBooks = plan.streams.map(({ stream, had }) => [stream, had] as const);
    this.#had = new Map([...byBooks, ...session.positions]);
  }

  gap({ stream, from, to }: ExportRange): Hole | undefined {
    if (holesIn(this.#coverage(stream), from, to).length === 0) return undefined;
    const before = this.#holeBefore(stream, from);
    if (before !== undefined) return before;
    this.#pass(stream, from, to);
    return undefined;
  }

  async records({ stream, records }: Slice): Promise<Hole | undefined> {
    const base = records[0]?.offset ?? 0;
    const end = base + records.length;
    const wanted = holesIn(this.#coverage(stream), base, end);
    if (wanted.length === 0) return undefined;
    const before = this.#holeBefore(stream, base);
    if (before !== undefined) return before;
    for (const { from, to } of wanted) {
      const slice = { stream, records: records.slice(from - base, to - base) };
      this.#slices.push(slice);
      this.#records += slice.records.length;
      for (const { key, value, headers } of slice.records) {
        this.#bytes += (key?.length ?? 0) + (value?.length ?? 0) + headers.length;
      }
    }
    this.#pass(stream, base, end);
    const { batchBytes, batchRecords } = EXPORT_LIMITS;
    if (this.#bytes >= batchBytes || this.#records >= batchRecords) await this.flush();
    return undefined;
  }

  async flush(): Promise<void> {
    if (this.#after.size === 0) return;
    this.#account.begin(this.#records, this.#after);
    await this.#session.send(this.#slices, this.#after);
    this.#account.done();
    this.#slices = [];
    this.#after = new Map();
    this.#records = 0;
    this.#bytes = 0;
  }

  refusal({ stream, from, goesOn }: Hole): GatelogError {
    const at = this.#plan.streams.find((one) => one.stream === stream);
    return new GatelogError(
      'UPSTREAM_MISMATCH',
      `the centre has ${at?.topic}/${at?.partition} of gateway '${this.#plan.origin.gateway}' up to ${from}, and these files go on at ${goesOn}: import the files in between first, or export again where these were made, or let the gateway send them when it is online; everything else of these files is there now`,
    );
  }

  #coverage(stream: StreamId): Coverage {
    return this.#had.get(stream) ?? upTo(0);
  }

  #pass(stream: StreamId, from: number, to: number): void {
    const after = withRange(this.#coverage(stream), from, to);
    this.#had.set(stream, after);
    this.#after.set(stream, after);
    this.passed++;
  }

  #holeBefore(stream: StreamId, goesOn: number): Hole | undefined {
    const [hole] = holesIn(this.#coverage(stream), 0, goesOn);
    return hole === undefined ? undefined : { stream, from: hole.from, goesOn };
  }
}
