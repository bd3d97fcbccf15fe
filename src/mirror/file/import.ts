import { type Coverage, holesIn, upTo, withRange } from '../../coverage.ts';
import { GatelogError } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { Slice } from '../../store/log.ts';
import type { Rejection, Upstream, UpstreamSession } from '../upstream.ts';
import { ExportContent } from './export-content.ts';
import type { ExportRange } from './export-header.ts';
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
 * its positions moved when it is back. What the centre would have a hole before stays out. Throws
 * UPSTREAM_*; UPSTREAM_MISMATCH for such a hole, once everything else is sent.
 */
export async function importFiles(options: ImportOptions): Promise<ImportResult> {
  const { plan, upstream, signal } = options;
  const names = new Map(plan.streams.map((at) => [at.stream, at]));
  const quarantine = (rejected: readonly Rejection[]): Promise<void> =>
    options.refused(
      rejected.map(({ stream, offset, reason }) => {
        const { topic = '', partition = 0 } = names.get(stream) ?? {};
        return { topic, partition, offset, reason };
      }),
    );
  const session = await upstream.connect(plan.streams, signal, { seek: new Map(), quarantine });
  const sending = new Sending(session, plan);
  session.broken.catch(() => {}); // Who sends is told.
  try {
    requireNoSample(session, plan);
    await sendFiles(sending, plan.files, signal);
    return { sent: sending.sent, skipped: plan.records - sending.taken };
  } finally {
    await session.close();
  }
}

/**
 * A file written again after another was lost has a later name and earlier records: what can not
 * go yet is looked at again after all files, for as long as that brings anything.
 */
async function sendFiles(
  sending: Sending,
  files: readonly string[],
  signal: AbortSignal,
): Promise<void> {
  let left = files;
  for (;;) {
    const waiting: string[] = [];
    const passedBefore = sending.passed;
    let hole: Hole | undefined;
    for (const file of left) {
      const found = await sendFile(sending, file, signal);
      hole ??= found;
      if (found !== undefined) waiting.push(file);
    }
    await sending.flush();
    if (hole === undefined) return;
    if (sending.passed === passedBefore) throw sending.refusal(hole);
    left = waiting;
  }
}

/** The first place of it that nothing could follow on. */
async function sendFile(
  sending: Sending,
  file: string,
  signal: AbortSignal,
): Promise<Hole | undefined> {
  let hole: Hole | undefined;
  for await (const piece of readExport(file, new ExportContent())) {
    if (signal.aborted) throw new GatelogError('UPSTREAM_UNREACHABLE', 'broken off');
    let found: Hole | undefined;
    if (piece.kind === 'records') found = await sending.records(piece.slice);
    // What is elsewhere is no gap: only the centre knows whether it has it.
    else if (piece.kind === 'gap') found = sending.gap(piece.range);
    hole ??= found;
  }
  return hole;
}

/** What the centre would never get if records from `goesOn` on were sent now. */
interface Hole {
  readonly stream: StreamId;
  readonly from: number;
  readonly goesOn: number;
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
  /** Records that the centre had not. */
  taken = 0;
  /** So often something was new to the centre. */
  passed = 0;

  constructor(session: UpstreamSession, plan: ImportPlan) {
    this.#session = session;
    this.#plan = plan;
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
    const { rejected } = await this.#session.send(this.#slices, this.#after);
    this.sent += this.#records - rejected.length;
    this.taken += this.#records;
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
