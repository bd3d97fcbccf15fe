import { must } from '../assert.ts';
import type { Loss } from '../loss.ts';
import { streamId } from '../record.ts';
import type { Logger } from '../telemetry.ts';
import { CommitDecoder } from './commit-decoder.ts';
import { readHead, type CommitHead } from './commit-head.ts';
import { CommitWalk } from './commit-walk.ts';
import { rawBody } from './compression.ts';
import type { Frame } from './frame.ts';
import type { LogState } from './log-state.ts';
import type { Segments } from './segments.ts';

export interface ScrubPassOptions {
  readonly state: LogState;
  readonly segments: Segments;
  readonly logger: Logger;
  /** Where it begins: a commit, and by stream the offset that is due there. */
  readonly fromCommit: number;
  readonly next: readonly number[];
}

export interface ScrubStep {
  readonly done: boolean;
  readonly bytes: number;
  /** Offsets that were given and can't be read. */
  readonly losses: readonly Loss[];
}

/**
 * One walk from a commit to what was durable when it began, over the same way as readers: checksum,
 * head, body, numbers and offsets of every commit. What a reader would get as a gap is a loss here.
 */
export class ScrubPass {
  readonly #options: ScrubPassOptions;
  readonly #walk: CommitWalk;
  readonly #decoder = new CommitDecoder();
  readonly #next: number[];
  readonly #ends: readonly number[];
  readonly #until: number;
  /** The last commit that was as it should be. */
  #good: number;
  /** The last place where numbers are missing counts as a finding. */
  #counted = false;
  #losses: Loss[] = [];
  /** Damaged places met that hold something which can still be read. */
  findings = 0;

  constructor(options: ScrubPassOptions) {
    const { state, fromCommit, next } = options;
    const { registry, heads, durableCommit } = state;
    this.#options = options;
    this.#walk = new CommitWalk({ ...options, anew: true });
    this.#walk.startAt(fromCommit);
    this.#good = fromCommit - 1;
    this.#until = durableCommit;
    this.#ends = [...heads.durable.subarray(0, registry.streams)];
    this.#next = this.#ends.map((_, stream) => next[stream] ?? 0);
  }

  /** The next commit to be looked at. */
  get commit(): number {
    return this.#walk.commit;
  }

  /** Reads about `maxBytes` of the log. */
  async step(maxBytes: number): Promise<ScrubStep> {
    let bytes = 0;
    const done = await this.#walk.to(this.#until, (frame, storedBytes) => {
      if (bytes >= maxBytes) return false;
      bytes += storedBytes;
      this.#check(this.#walk.commit, frame);
      return true;
    });
    if (done) this.#finish();
    const losses = this.#losses;
    this.#losses = [];
    return { done, bytes, losses };
  }

  #check(commit: number, frame: Frame): void {
    const head = readHead(frame.head);
    if (head === undefined || !this.#options.state.mayHold(head) || !this.#holds(frame, head)) {
      return; // Its number is a hole then.
    }
    const lostBefore = this.#losses.length;
    for (const { stream, baseOffset, count } of head.runs) {
      const next = this.#next[stream];
      if (next === undefined) continue; // A topic that came later.
      if (baseOffset > next) this.#lose(stream, next, baseOffset, commit);
      this.#next[stream] = Math.max(next, baseOffset + count);
    }
    this.#count(commit, this.#losses.length > lostBefore);
    this.#good = commit;
  }

  /** The body can be read, and comes to what the head says. */
  #holds(frame: Frame, head: CommitHead): boolean {
    const body = rawBody(frame);
    if (body === undefined) return false;
    const holds = this.#decoder.open(body, head);
    const { buffer } = body;
    // Made for this look only: its memory is not left for the collector to find.
    const isWhole = frame.compressed && body.byteLength === buffer.byteLength;
    if (isWhole && buffer instanceof ArrayBuffer) buffer.transfer(0);
    return holds;
  }

  #finish(): void {
    const lostBefore = this.#losses.length;
    for (const [stream, end] of this.#ends.entries()) {
      const next = this.#next[stream] ?? end;
      if (next < end) this.#lose(stream, next, end, this.#until + 1);
    }
    this.#count(this.#until + 1, this.#losses.length > lostBefore);
  }

  /** Numbers are missing where segments were given up or thinned, too: only with offsets it is damage. */
  #count(commit: number, lost: boolean): void {
    if (commit > this.#good + 1) this.#counted = false;
    // What else went at the same place shows at the next commit that goes on with it.
    if (lost && !this.#counted) {
      this.findings++;
      this.#counted = true;
    }
  }

  #lose(stream: number, from: number, toOffset: number, commit: number): void {
    const { registry, heads } = this.#options.state;
    const topic = registry.topicOf(stream);
    // What retention removed meanwhile is no loss.
    const fromOffset = Math.max(from, heads.start[stream] ?? 0);
    if (topic === undefined || fromOffset >= toOffset) return;
    this.#losses.push({
      topic: topic.name,
      partition: topic.streams.indexOf(streamId(stream)),
      fromOffset,
      toOffset,
      records: toOffset - fromOffset,
      bytes: undefined,
      reason: 'corruption',
      detail:
        `the check of the stored log can't read what stood between commits ${this.#good} ` +
        `and ${commit}`,
      mirror: undefined,
    });
  }
}

/** By stream, the offset that is due at the beginning of the log as it is kept. */
export function startsOf({ heads, registry }: LogState): number[] {
  return Array.from({ length: registry.streams }, (_, stream) =>
    must(heads.start[stream], 'the stream is known'),
  );
}
