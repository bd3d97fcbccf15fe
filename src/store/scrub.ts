import { messageOf } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import type { Logger } from '../telemetry.ts';
import { holdProcess, type Clock, type Timer } from '../time.ts';
import { isUnsteady } from './damage.ts';
import type { DamageReport } from './damage-report.ts';
import type { KeyValue, ScrubStatus } from './log.ts';
import type { LogState } from './log-state.ts';
import type { Lookup } from './lookup.ts';
import { lastPassOf, placeOf, stored, type LastPass, type Place } from './scrub-notes.ts';
import { ScrubPass, startsOf, type ScrubStep } from './scrub-pass.ts';
import type { Segments } from './segments.ts';

export interface ScrubOptions {
  readonly state: LogState;
  readonly segments: Segments;
  readonly lookup: Lookup;
  readonly report: DamageReport;
  /** Its own space of the state database. */
  readonly notes: KeyValue;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly scrubBytesPerSecond?: number;
  /** undefined: it runs only when it is told to. */
  readonly scrubSchedule?: string | undefined;
  readonly readOnly: boolean;
}

type Extent = 'rest' | 'whole' | 'newest segment';

/**
 * Looks in the background at everything that is stored, at a bounded rate, a step at a time: disks lose
 * what nobody reads, and one who finds out a year later, by reading, has nothing left to fetch it
 * from. What is damaged or missing goes to the loss ledger. It holds no segment between its steps,
 * and takes up a pass where the last process left it.
 */
export class Scrub {
  readonly #options: ScrubOptions;
  readonly #stopping = new AbortController();
  #running: Promise<void> | undefined;
  #stopPass = new AbortController();
  #timer: Timer | undefined;
  #last: LastPass | undefined;
  #bytesChecked = 0;
  /** Of the pass under way. */
  #findings = 0;

  constructor(options: ScrubOptions) {
    this.#options = options;
  }

  /** After a start: what was not synced by a clean close is looked at soon, and what is due. */
  async begin(clean: boolean): Promise<void> {
    const { clock, notes } = this.#options;
    this.#last = lastPassOf(await notes.get('last'));
    if (!this.#scheduled) return;
    const interrupted = (await this.#place()) !== undefined;
    const since = this.#last === undefined ? Infinity : clock.nowMs() - this.#last.finishedMs;
    const due = interrupted || since > LIMITS.scrubOverdueMs;
    if (clean && !due) return;
    this.#timer = clock.after(LIMITS.scrubFirstMs, () => {
      void this.#first(clean, due);
    });
  }

  status(): ScrubStatus {
    const idle = this.#scheduled ? 'idle' : 'off';
    return {
      state: this.#running === undefined ? idle : 'running',
      lastFinishedMs: this.#last?.finishedMs,
      bytesChecked: this.#bytesChecked,
      findings: this.#running === undefined ? (this.#last?.findings ?? 0) : this.#findings,
    };
  }

  get #scheduled(): boolean {
    return this.#options.scrubSchedule !== undefined && !this.#options.readOnly;
  }

  /** The next pass, or the rest of one that was interrupted. Whoever calls while it runs gets that run. */
  run(): Promise<void> {
    return this.#start('rest', true);
  }

  /** The whole log at once, as fast as it can be read. */
  async check(): Promise<void> {
    this.#stopPass.abort();
    await this.#running?.catch(() => {});
    const hold = holdProcess();
    try {
      await this.#start('whole', false);
    } finally {
      hold.cancel();
    }
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#stopping.abort();
    this.#stopPass.abort();
    await this.#running?.catch(() => {});
  }

  async #first(clean: boolean, due: boolean): Promise<void> {
    try {
      if (!clean) await this.#start('newest segment', true);
      if (due) await this.#start('rest', true);
    } catch (error) {
      this.#options.logger.warn(
        { error: messageOf(error) },
        'the check of the stored log ended early; it goes on as scheduled',
      );
    }
  }

  #start(extent: Extent, paced: boolean): Promise<void> {
    if (this.#stopping.signal.aborted) return Promise.resolve();
    this.#running ??= this.#pass(extent, paced).finally(() => {
      this.#running = undefined;
    });
    return this.#running;
  }

  async #pass(extent: Extent, paced: boolean): Promise<void> {
    const { clock, report } = this.#options;
    this.#stopPass = new AbortController();
    const place = extent === 'rest' ? await this.#place() : undefined;
    const pass = await this.#passFrom(extent, place);
    const before = place?.findings ?? 0;
    let bytes = place?.bytes ?? 0;
    let noted = clock.monotonicMs();
    while (!this.#stopPass.signal.aborted) {
      const begun = clock.monotonicMs();
      const step = await this.#step(pass);
      if (step === undefined) break;
      bytes += step.bytes;
      this.#bytesChecked += step.bytes;
      this.#findings = before + pass.findings;
      if (step.losses.length > 0) await report.tell(step.losses, 'check');
      if (step.done) {
        if (extent !== 'newest segment') await this.#finished(bytes);
        return;
      }
      const now = clock.monotonicMs();
      if (extent !== 'newest segment' && now - noted >= LIMITS.scrubNoteMs) {
        noted = now;
        await this.#note({ commit: pass.commit, findings: this.#findings, bytes });
      }
      await this.#pause(paced ? step.bytes : 0, now - begun);
    }
    if (extent !== 'newest segment') {
      await this.#note({ commit: pass.commit, findings: this.#findings, bytes });
    }
  }

  /** Waits at a place that the disk does not read until it does or counts as damaged; or until it is stopped. */
  async #step(pass: ScrubPass): Promise<ScrubStep | undefined> {
    const { clock, logger } = this.#options;
    const { signal } = this.#stopPass;
    for (let waitMs = 1000; !signal.aborted; waitMs *= 2) {
      try {
        return await pass.step(LIMITS.scrubStepBytes);
      } catch (error) {
        if (!isUnsteady(error)) throw error;
        logger.warn(
          { commit: pass.commit, error: messageOf(error) },
          'the check of the stored log waits for the disk',
        );
        await clock.sleep(Math.min(waitMs, LIMITS.backoffMaxMs), signal);
      }
    }
    return undefined;
  }

  /** Where the pass begins, and which offsets are due there by the segment's own word. */
  async #passFrom(extent: Extent, place: Place | undefined): Promise<ScrubPass> {
    const { state, segments, lookup } = this.#options;
    const wanted = extent === 'newest segment' ? state.lastCheckpoint.segment : place?.commit;
    const first = wanted === undefined ? undefined : segments.holding(wanted);
    const beginning = first === undefined ? undefined : await lookup.beginning(first);
    const starts = startsOf(state);
    if (first === undefined || beginning === undefined) {
      return new ScrubPass({ ...this.#options, fromCommit: segments.oldest ?? 1, next: starts });
    }
    const next = starts.map((start, stream) => Math.max(start, beginning.next[stream] ?? 0));
    return new ScrubPass({ ...this.#options, fromCommit: first, next });
  }

  async #finished(bytes: number): Promise<void> {
    const { clock, notes, logger } = this.#options;
    this.#last = { finishedMs: clock.nowMs(), findings: this.#findings, bytes };
    await notes.put('last', stored(this.#last));
    await notes.delete('place');
    logger.info({ bytes, findings: this.#findings }, 'the stored log was checked');
  }

  async #place(): Promise<Place | undefined> {
    return placeOf(await this.#options.notes.get('place'));
  }

  /** Seldom: each note is a synced write. */
  async #note(place: Place): Promise<void> {
    await this.#options.notes.put('place', stored(place));
  }

  /** Between two steps everybody else comes first. */
  async #pause(bytes: number, tookMs: number): Promise<void> {
    const { clock, scrubBytesPerSecond: bytesPerSecond = LIMITS.scrubBytesPerSecond } =
      this.#options;
    const dueMs = (bytes / bytesPerSecond) * 1000;
    // On a slow machine the share of its time is the bound, not the rate.
    const pauseMs = Math.max(dueMs - tookMs, bytes === 0 ? 0 : tookMs * LIMITS.scrubPauseFactor);
    await clock.sleep(Math.max(0, pauseMs), this.#stopPass.signal);
  }
}
