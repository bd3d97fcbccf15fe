import { type ErrorCode, GatelogError, messageOf } from '../../errors.ts';
import { EXPORT_LIMITS } from '../../export-limits.ts';
import type { StreamId } from '../../record.ts';
import type { Clock } from '../../time.ts';
import type { Pacer } from '../pacer.ts';
import type { MirrorStream, Rejection, Upstream, UpstreamSession } from '../upstream.ts';
import { ExportContent } from './export-content.ts';
import { readExport } from './export-files.ts';
import type { ImportPlan } from './import-plan.ts';
import { type Hole, ImportAccount, ImportSending } from './import-sending.ts';

export interface ImportOptions {
  readonly plan: ImportPlan;
  /** As the mirror's own would be: the same names, so the same positions. */
  readonly upstream: Upstream;
  /** Keeps records that the centre refuses, durably; or rejects, and the import ends there. */
  readonly refused: (rejected: readonly RefusedRecord[]) => Promise<void>;
  /** How long to wait after an error that passes, as a mirror does. */
  readonly pacer: Pacer;
  readonly clock: Clock;
  /** It ends over such an error when nothing got through for so long since the first one. */
  readonly patienceMs?: number;
  /** Ends it in good order: what is there is there. */
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

/** The way there or a broker's part in the cluster: the same may get through in a moment. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'UPSTREAM_UNREACHABLE',
  'UPSTREAM_UNCERTAIN',
]);

/**
 * Sends files into Kafka as their gateway would: in its transactions, with its positions, so that
 * what the centre has is left out, a broken import goes on where it stopped, and the gateway finds
 * its positions moved when it is back. What the centre would have a hole before stays out. After an
 * error that passes another session begins, for as long as `patienceMs` without anything new at the
 * centre. Throws UPSTREAM_*; UPSTREAM_MISMATCH for such a hole, once everything else is sent.
 */
export async function importFiles(options: ImportOptions): Promise<ImportResult> {
  const { plan, pacer, clock, signal, patienceMs = EXPORT_LIMITS.importPatienceMs } = options;
  const importing = new Importing(options);
  const { account } = importing;
  // Since the first failure: only reading what the centre has already may take longer.
  let failingSinceMs: number | undefined;
  for (;;) {
    const before = account.batches;
    try {
      await importing.session();
      return { sent: account.sent, skipped: plan.records - account.taken };
    } catch (error) {
      if (signal.aborted) throw brokenOff(error);
      if (!(error instanceof GatelogError) || !PASSING.has(error.code)) throw error;
      if (account.batches > before) {
        failingSinceMs = undefined;
        pacer.succeeded();
      }
      const nowMs = clock.monotonicMs();
      failingSinceMs ??= nowMs;
      if (nowMs - failingSinceMs >= patienceMs) throw error;
      await pacer.wait(messageOf(error), signal, () => {});
      if (signal.aborted) throw brokenOff(error);
    }
  }
}

/** One import, and each of its sessions. */
class Importing {
  readonly #options: ImportOptions;
  readonly #places: ReadonlyMap<StreamId, MirrorStream>;
  /** Refused records that are kept already: an aborted batch is refused again. */
  readonly #kept = new Set<string>();
  readonly account: ImportAccount = new ImportAccount();
  #sessions = 0;

  constructor(options: ImportOptions) {
    this.#options = options;
    this.#places = new Map(options.plan.streams.map((at) => [at.stream, at]));
  }

  /** Reads all files, whatever an earlier session brought: what the centre has is left out. */
  async session(): Promise<void> {
    const { plan, signal } = this.#options;
    const session = await this.#connect();
    session.broken.catch(() => {}); // Who sends is told.
    // What waits for an answer must not keep a person waiting.
    const close = (): void => void session.close();
    signal.addEventListener('abort', close, { once: true });
    try {
      requireNoSample(session, plan);
      const sending = new ImportSending(session, plan, this.account);
      await sendFiles(sending, plan.files, signal);
    } finally {
      signal.removeEventListener('abort', close);
      await session.close();
    }
  }

  /**
   * A session after the first knows what those before it brought. More than that at the centre means
   * that the gateway is online again and sends: it is not taken over from again and again, as neither
   * would send for long.
   */
  async #connect(): Promise<UpstreamSession> {
    const { plan, upstream, signal } = this.#options;
    const isFirst = this.#sessions === 0;
    const quarantine = (rejected: readonly Rejection[]): Promise<void> => this.#keep(rejected);
    try {
      const session = await upstream.connect(plan.streams, signal, {
        seek: new Map(),
        quarantine,
      });
      this.#sessions++;
      return session;
    } catch (error) {
      const isMoved = error instanceof GatelogError && error.code === 'UPSTREAM_MISMATCH';
      if (isFirst || !isMoved) throw error;
      throw new GatelogError(
        'UPSTREAM_FENCED',
        `what the centre has of gateway '${plan.origin.gateway}' was changed by somebody else while this import waited: most likely the gateway is online and sends these records itself, then let it; else import again, which begins from what the centre has now`,
        { cause: error },
      );
    }
  }

  async #keep(rejected: readonly Rejection[]): Promise<void> {
    const fresh = rejected.filter(({ stream, offset }) => !this.#kept.has(`${stream}/${offset}`));
    await this.#options.refused(
      fresh.map(({ stream, offset, reason }) => {
        const { topic = '', partition = 0 } = this.#places.get(stream) ?? {};
        return { topic, partition, offset, reason };
      }),
    );
    for (const { stream, offset } of fresh) this.#kept.add(`${stream}/${offset}`);
    this.account.refused(rejected.length);
  }
}

function brokenOff(cause?: unknown): GatelogError {
  return new GatelogError('UPSTREAM_UNREACHABLE', 'broken off', { cause });
}

/**
 * A file written again after another was lost has a later name and earlier records: what can not
 * go yet is looked at again after all files, for as long as that brings anything.
 */
async function sendFiles(
  sending: ImportSending,
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
  sending: ImportSending,
  file: string,
  signal: AbortSignal,
): Promise<Hole | undefined> {
  let hole: Hole | undefined;
  for await (const piece of readExport(file, new ExportContent())) {
    if (signal.aborted) throw brokenOff();
    let found: Hole | undefined;
    if (piece.kind === 'records') found = await sending.records(piece.slice);
    // What is elsewhere is no gap: only the centre knows whether it has it.
    else if (piece.kind === 'gap') found = sending.gap(piece.range);
    hole ??= found;
  }
  return hole;
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
