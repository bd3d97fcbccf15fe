import { type Coverage, holesIn, upTo, withRange } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Rejection, Upstream, UpstreamSession } from '../upstream.ts';
import { ExportContent } from './export-content.ts';
import { readExport } from './export-files.ts';
import type { ImportPlan } from './import-plan.ts';
import { EXPORT_LIMITS } from '../../export-limits.ts';

export interface ImportOptions {
  readonly plan: ImportPlan;
  /** As the mirror's own would be: the same names, so the same positions. */
  readonly upstream: Upstream;
  /** Keeps records that the centre refuses, durably; or rejects, and the import ends there. */
  readonly refused: (rejected: readonly RefusedRecord[]) => Promise<void>;
  readonly signal: AbortSignal;
}

export interface RefusedRecord {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
  readonly reason: string;
}

export interface ImportResult {
  /** Sent now, and what the centre had already. */
  readonly sent: number;
  readonly skipped: number;
}

/**
 * Sends files into Kafka as their gateway would: in its transactions, with its positions, so that
 * what the centre has is left out, a broken import goes on where it stopped, and the gateway finds
 * its positions moved when it is back. Throws UPSTREAM_*.
 */
export async function importFiles(options: ImportOptions): Promise<ImportResult> {
  const { plan, upstream, signal } = options;
  const streams = plan.streams.map((at) => ({ ...at, had: upTo(at.from) }));
  const names = new Map(plan.streams.map((at) => [at.stream, at]));
  const quarantine = (rejected: readonly Rejection[]): Promise<void> =>
    options.refused(
      rejected.map(({ stream, offset, reason }) => {
        const { topic = '', partition = 0 } = names.get(stream) ?? {};
        return { topic, partition, offset, reason };
      }),
    );
  const session = await upstream.connect(streams, signal, { seek: new Map(), quarantine });
  const sending = new Sending(session, plan);
  session.broken.catch(() => {}); // Who sends is told.
  try {
    requireNoSample(session, plan);
    for (const file of plan.files) {
      for await (const piece of readExport(file, new ExportContent())) {
        if (signal.aborted) throw new GatelogError('UPSTREAM_UNREACHABLE', 'broken off');
        if (piece.kind === 'records') await sending.records(piece.slice);
        else if (piece.kind === 'gap') sending.gap(piece.gap);
      }
    }
    await sending.flush();
    return { sent: sending.sent, skipped: sending.skipped };
  } finally {
    await session.close();
  }
}

/** Which of its records the centre has is known to the gateway alone. */
function requireNoSample({ positions }: UpstreamSession, plan: ImportPlan): void {
  for (const { stream, topic, partition } of plan.streams) {
    if (positions.get(stream)?.sampledTo === undefined) continue;
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `the centre has a sample of ${topic}/${partition} of gateway '${plan.origin.gateway}', and only the gateway knows which records that is: let it send the rest (sample.rest: later) when its link is not metered, and import after that`,
    );
  }
}

class Sending {
  readonly #session: UpstreamSession;
  readonly #plan: ImportPlan;
  readonly #had: Map<StreamId, Coverage>;
  /** Of `#slices`, and of gaps: what has been had after them. */
  #after = new Map<StreamId, Coverage>();
  #slices: Slice[] = [];
  #records = 0;
  #bytes = 0;
  sent = 0;
  skipped = 0;

  constructor(session: UpstreamSession, plan: ImportPlan) {
    this.#session = session;
    this.#plan = plan;
    // Of a stream that the centre knows nothing of, it has what lies before the files.
    const before = plan.streams.map((at) => [at.stream, upTo(at.from)] as const);
    this.#had = new Map([...before, ...session.positions]);
  }

  gap({ stream, from, to }: { stream: StreamId; from: number; to: number }): void {
    this.#requireNothingBefore(stream, from);
    this.#pass(stream, from, to);
  }

  async records({ stream, records }: Slice): Promise<void> {
    const base = records[0]?.offset ?? 0;
    const end = base + records.length;
    this.#requireNothingBefore(stream, base);
    const holes = holesIn(this.#coverage(stream), base, end);
    let wanted = 0;
    for (const { from, to } of holes) {
      const slice = { stream, records: records.slice(from - base, to - base) };
      this.#slices.push(slice);
      wanted += slice.records.length;
      for (const { key, value, headers } of slice.records) {
        this.#bytes += (key?.length ?? 0) + (value?.length ?? 0) + headers.length;
      }
    }
    this.#records += wanted;
    this.skipped += records.length - wanted;
    this.#pass(stream, base, end);
    const { batchBytes, batchRecords } = EXPORT_LIMITS;
    if (this.#bytes >= batchBytes || this.#records >= batchRecords) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#after.size === 0) return;
    const { rejected } = await this.#session.send(this.#slices, this.#after);
    this.sent += this.#records - rejected.length;
    this.#slices = [];
    this.#after = new Map();
    this.#records = 0;
    this.#bytes = 0;
  }

  #coverage(stream: StreamId): Coverage {
    return this.#had.get(stream) ?? upTo(0);
  }

  #pass(stream: StreamId, from: number, to: number): void {
    const before = this.#coverage(stream);
    if (holesIn(before, from, to).length === 0) return;
    const after = withRange(before, from, to);
    this.#had.set(stream, after);
    this.#after.set(stream, after);
  }

  #requireNothingBefore(stream: StreamId, from: number): void {
    const [hole] = holesIn(this.#coverage(stream), 0, from);
    if (hole === undefined) return;
    const at = this.#plan.streams.find((one) => one.stream === stream);
    throw new GatelogError(
      'UPSTREAM_MISMATCH',
      `the centre has ${at?.topic}/${at?.partition} of gateway '${this.#plan.origin.gateway}' up to ${hole.from}, and these files go on at ${from}: import the files in between first, or let the gateway send them when it is online`,
    );
  }
}
