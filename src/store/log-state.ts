import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import { Boots, type ClockStamp } from './boots.ts';
import type { Checkpoint } from './checkpoint.ts';
import type { CommitClock } from './commit-clock.ts';
import type { CommitHead, StreamRun } from './commit-head.ts';
import { Heads } from './heads.ts';
import { Producers } from './producers.ts';
import { damageIn, lastOf, type TailCommit } from './recovery.ts';
import { Registry } from './registry.ts';

/** Offsets that are not in the log. */
export interface Hole {
  readonly stream: number;
  readonly fromOffset: number;
  /** One past the last. */
  readonly toOffset: number;
}

export interface Replay {
  readonly skipped: boolean;
  readonly holes: readonly Hole[];
}

/** What is known in memory of the log: topics, where each stream stands, producers, numbers. */
export class LogState {
  readonly registry: Registry = new Registry();
  readonly heads: Heads = new Heads();
  readonly producers: Producers = new Producers();
  readonly boots: Boots = new Boots();
  /** The clocks at the last commit. */
  stamp: ClockStamp | undefined = undefined;
  /** Number of the last commit written; and of the last one that a crash cannot take back. */
  lastCommit = 0;
  durableCommit = 0;
  /** In the segment being written; -1 while that has none. */
  lastCheckpoint: { readonly segment: number; readonly commit: number } = {
    segment: 0,
    commit: -1,
  };
  recordsAppended = 0;
  /** Offsets told by the commits met so far, also by those whose write was reported as failed. */
  offsetsGiven = 0;
  bytesAppended = 0;
  commits = 0;
  /** Times the disk was asked to make commits durable. */
  syncs = 0;

  /** Puts the state of `checkpoint` in place. */
  restoreCheckpoint(checkpoint: Checkpoint): void {
    for (const topic of checkpoint.topics) this.registry.restore(topic);
    const { heads } = this;
    heads.ensure(Math.max(this.registry.streams, checkpoint.next.length));
    for (const [stream, next] of checkpoint.next.entries()) {
      heads.committed[stream] = next;
      heads.stored[stream] = checkpoint.stored[stream] ?? 0;
      heads.latest[stream] = checkpoint.previous < 0 ? -1 : (checkpoint.latest[stream] ?? -1);
      heads.newest[stream] = checkpoint.newest[stream] ?? -1;
      heads.start[stream] = checkpoint.start?.[stream] ?? 0;
      heads.storedBefore[stream] = checkpoint.storedBefore?.[stream] ?? 0;
    }
    this.lastCommit = checkpoint.commit;
    this.boots.restore(checkpoint.clock?.boots ?? []);
    this.stamp = checkpoint.clock?.stamp;
  }

  /**
   * Puts the commits after a checkpoint on top of it. Where commits are missing or damaged, the
   * offsets they may have held are left out of every stream that no later commit tells about: an
   * offset is never given out twice. `skipped`: there were such.
   */
  replay(checkpoint: Checkpoint, commits: readonly TailCommit[], logger: Logger): Replay {
    const holes: Hole[] = [];
    const believed = commits.map((commit) => this.#believed(checkpoint, commit));
    const damage = damageIn(checkpoint.commit, believed);
    /** Commits lost so far, and by stream when it was last told of. */
    let lost = 0;
    const lostBefore = new Map<number, number>();
    let expected = checkpoint.commit + 1;
    for (const { commit, head, storedBytes } of believed) {
      lost += commit - expected;
      expected = commit + 1;
      if (head === undefined) {
        lost++;
        continue;
      }
      for (const { stream, baseOffset } of head.runs) {
        const from = this.heads.committed[stream] ?? 0;
        if (baseOffset > from) holes.push({ stream, fromOffset: from, toOffset: baseOffset });
        lostBefore.set(stream, lost);
      }
      this.applyHead(head, storedBytes);
    }
    this.lastCommit = lastOf(checkpoint, commits);
    if (lost === 0) return { skipped: false, holes };
    logger.error(
      {
        event: 'store.tail-damaged',
        places: damage.length,
        damage: damage.slice(0, LIMITS.placesLogged),
      },
      'commits at the end of the log are missing or damaged; every partition goes on after the ' +
        'offsets they may have held, and readers get the range as a gap',
    );
    for (let stream = 0; stream < this.registry.streams; stream++) {
      const commitsLost = lost - (lostBefore.get(stream) ?? 0);
      const from = this.heads.committed[stream] ?? 0;
      const toOffset = from + commitsLost * LIMITS.commitRecords;
      if (toOffset > from) holes.push({ stream, fromOffset: from, toOffset });
      this.heads.committed[stream] = toOffset;
    }
    return { skipped: true, holes };
  }

  /** A commit's offsets follow those before it, or leave out what lost commits between may have held. */
  #believed(checkpoint: Checkpoint, commit: TailCommit): TailCommit {
    const most = (commit.commit - checkpoint.commit) * LIMITS.commitRecords;
    const follows = commit.head?.runs.every(({ stream, baseOffset, count }) => {
      const from = checkpoint.next[stream] ?? 0;
      return baseOffset >= from && baseOffset + count <= from + most;
    });
    return follows === false ? { ...commit, head: undefined } : commit;
  }

  /**
   * Whether a durable commit may say this. By a head that is not this log's a reader would pass over
   * everything that is still to come.
   */
  mayHold({ runs }: CommitHead): boolean {
    const { durable } = this.heads;
    return runs.every(({ stream, baseOffset, count }) => {
      return baseOffset + count <= (durable[stream] ?? 0);
    });
  }

  /** Leaves out so many offsets of every stream: what may have come after the last known place. */
  skipUnknown(records: number): void {
    const { committed } = this.heads;
    for (let stream = 0; stream < this.registry.streams; stream++) {
      committed[stream] = (committed[stream] ?? 0) + records;
    }
    // A commit holds a record or a definition, and there are fewer of those.
    this.lastCommit += LIMITS.reservedRecords + LIMITS.streams;
  }

  /** A commit was written (or read back). */
  applyHead(head: CommitHead, storedBytes: number): void {
    for (const topic of head.topics) this.registry.restore(topic);
    this.heads.ensure(this.registry.streams);
    this.applyRuns(head.runs, storedBytes, head.clock);
    this.producers.commit(head.producers);
  }

  applyRuns(runs: readonly StreamRun[], storedBytes: number, clock: CommitClock | undefined): void {
    if (clock !== undefined) {
      this.stamp = clock.stamp;
      this.boots.note(clock.stamp);
    }
    const deltaMs = this.#delta(clock);
    const { committed, stored, latest, newest } = this.heads;
    let bytes = 0;
    for (const run of runs) bytes += run.bytes + run.count;
    for (const run of runs) {
      const { stream } = run;
      this.offsetsGiven += run.count;
      committed[stream] = run.baseOffset + run.count;
      stored[stream] =
        (stored[stream] ?? 0) + Math.round((storedBytes * (run.bytes + run.count)) / bytes);
      latest[stream] = Math.max(latest[stream] ?? -1, run.latest);
      newest[stream] = Math.max(newest[stream] ?? -1, run.latest + deltaMs);
    }
  }

  /** A clock known to be wrong must not move the latest time ever far ahead. */
  #delta(clock: CommitClock | undefined): number {
    if (clock === undefined || clock.given !== 'none') return 0;
    return this.boots.correction(clock.stamp)?.deltaMs ?? 0;
  }

  allDurable(): void {
    this.heads.allDurable();
    this.durableCommit = this.lastCommit;
  }
}
