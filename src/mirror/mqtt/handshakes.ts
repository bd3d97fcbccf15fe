import { must } from '../../assert.ts';
import { type Coverage, holesIn } from '../../coverage.ts';
import { GatelogError, messageOf } from '../../errors.ts';
import type { StreamId } from '../../record.ts';
import type { KeyValue, LogReader, Slice } from '../../store/log.ts';
import {
  outside,
  PROGRESS,
  type Progress,
  rangesOf,
  Run,
  type StoredRun,
} from './handshake-run.ts';

export interface HandshakesOptions {
  /** For this mirror's alone; each write is synced. */
  readonly values: KeyValue;
  /** What this mirror's stored position covers at present. */
  readonly hadOf: (stream: StreamId) => Coverage | undefined;
  /** The log as it was opened: nothing was appended since. */
  readonly reader: Pick<LogReader, 'topics' | 'range'>;
  /** The state database stepped back: what is stored may be older than the far side's session. */
  readonly isDoubtful?: boolean | undefined;
}

interface Stored {
  /** Whose they are: data folder, address and client id. */
  readonly far: string;
  /** Packet id of the next run. */
  readonly next: number;
  readonly runs: readonly StoredRun[];
}

interface Place {
  readonly run: Run;
  readonly offset: number;
}

/** MUST stay the same for ever. */
const HANDSHAKES_KEY = 'handshakes';
const LAST_ID = 65_535;

/**
 * How far each record has come that was handed over and that no stored position covers yet. What is
 * done is not sent again after a reconnect.
 *
 * With QoS 2 it outlives the process: before a record is sent, its packet id is durable, so that it is
 * sent again under the same one, which the far side knows; before its PUBREL is sent, it is durable
 * that the far side has it, for from then on the far side may forget the id. Ids go round, so that one
 * is used again as late as possible.
 */
export class Handshakes {
  readonly #options: HandshakesOptions;
  readonly #ends: ReadonlyMap<StreamId, number>;
  readonly #runs = new Map<StreamId, Run[]>();
  /** By packet id: sent or received, and not done. */
  readonly #open = new Map<number, Place>();
  #next = 1;
  #far: string | undefined;
  #isDurable = false;
  /** The one looked up last. */
  #last: Run | undefined;
  #writing: Promise<void> = Promise.resolve();
  #waiting: Promise<void> | undefined;
  #unsaved = false;

  constructor(options: HandshakesOptions) {
    this.#options = options;
    const { reader } = options;
    const streams = reader.topics().flatMap((topic) => topic.streams);
    this.#ends = new Map(streams.map((stream) => [stream, reader.range(stream).endOffset]));
  }

  /** Some record was sent, and its handshake is not over: the far side's session is worth keeping. */
  get isOpen(): boolean {
    return this.#open.size > 0;
  }

  /**
   * A session begins towards `far`. False when the far side's session can't be gone on with: another
   * far side, or one holds ids of records that will not come up in this session.
   */
  async begin(
    far: string,
    streams: readonly StreamId[],
    sought: ReadonlySet<StreamId>,
  ): Promise<boolean> {
    if (this.#far === undefined) await this.#load(far);
    const given = new Set(streams);
    const { hadOf } = this.#options;
    const isStuck = [...this.#open.values()].some(({ run, offset }) => {
      if (sought.has(run.stream)) return true;
      if (run.at(offset) === PROGRESS.received) return false; // Its PUBREL needs no record.
      const had = hadOf(run.stream);
      const willCome = had !== undefined && holesIn(had, offset, offset + 1).length > 0;
      return !given.has(run.stream) || !willCome;
    });
    if (isStuck) this.forget();
    for (const stream of sought) {
      if (this.#runs.delete(stream)) this.#unsaved = true;
      this.#last = undefined;
    }
    this.#prune();
    await this.settled();
    return !isStuck;
  }

  /** With QoS 2 what is taken up from now on is durable before it is sent. */
  set isDurable(isDurable: boolean) {
    this.#isDurable = isDurable;
  }

  /** The far side's session is gone, and with it what it had not released. */
  forget(): void {
    for (const { run, offset } of this.#open.values()) run.set(offset, PROGRESS.none);
    this.#unsaved ||= this.#open.size > 0;
    this.#open.clear();
  }

  /**
   * The batch's records are to be sent. undefined: they may be at once; else when it has resolved,
   * and if it was with true. False: no ids are free before positions move on.
   */
  takeUp(slices: readonly Slice[]): Promise<boolean> | undefined {
    this.#prune();
    const fresh = [...rangesOf(slices)].flatMap(([stream, ranges]) =>
      outside(ranges, this.#runsOf(stream)).map((range) => ({ stream, range })),
    );
    if (fresh.length === 0) return undefined;
    const runs: Run[] = [];
    for (const { stream, range } of fresh) {
      const firstId = this.#isDurable ? this.#take(range.to - range.from, runs) : 0;
      if (firstId === undefined) return Promise.resolve(false);
      runs.push(new Run(stream, range, firstId));
    }
    for (const run of runs) this.#add(run);
    if (!this.#isDurable) return undefined;
    return this.#save().then(() => true);
  }

  progress(stream: StreamId, offset: number): Progress {
    return this.#find(stream, offset)?.at(offset) ?? PROGRESS.none;
  }

  /** The far side has it, and only its PUBREL may have to be sent. */
  readonly isHad = (stream: StreamId, offset: number): boolean => {
    const progress = this.progress(stream, offset);
    return progress === PROGRESS.done || progress === PROGRESS.received;
  };

  /** 0: none of its own. */
  idOf(stream: StreamId, offset: number): number {
    return this.#find(stream, offset)?.idOf(offset) ?? 0;
  }

  /** It is being sent. `dup`: once more under this id. */
  sent(stream: StreamId, offset: number): { readonly id: number; readonly dup: boolean } {
    const run = this.#find(stream, offset);
    if (run === undefined || run.firstId === 0) return { id: 0, dup: false };
    const id = run.idOf(offset);
    const dup = run.at(offset) === PROGRESS.sent;
    run.set(offset, PROGRESS.sent);
    this.#open.set(id, { run, offset });
    return { id, dup };
  }

  /** PUBREC came; PUBREL may leave when this has resolved. */
  received(id: number): Promise<void> {
    const place = this.#open.get(id);
    if (place === undefined || place.run.at(place.offset) !== PROGRESS.sent) return this.settled();
    place.run.set(place.offset, PROGRESS.received);
    return this.#save();
  }

  /** Ids of those whose PUBREL is to be sent again. */
  receivedIds(): number[] {
    return [...this.#open]
      .filter(([, { run, offset }]) => run.at(offset) === PROGRESS.received)
      .map(([id]) => id);
  }

  done(stream: StreamId, offset: number): void {
    this.#end(this.#find(stream, offset), offset, PROGRESS.done);
  }

  refused(stream: StreamId, offset: number): void {
    this.#end(this.#find(stream, offset), offset, PROGRESS.refused);
  }

  /** PUBCOMP to one of `receivedIds`. */
  released(id: number): { readonly stream: StreamId; readonly offset: number } | undefined {
    const place = this.#open.get(id);
    if (place === undefined) return undefined;
    const { run, offset } = place;
    this.#end(run, offset, PROGRESS.done);
    return { stream: run.stream, offset };
  }

  /** Durable when resolved: all that was told before. */
  settled(): Promise<void> {
    return this.#unsaved ? this.#save() : this.#writing;
  }

  #end(run: Run | undefined, offset: number, progress: Progress): void {
    if (run === undefined) return;
    run.set(offset, progress);
    if (run.firstId === 0) return;
    this.#open.delete(run.idOf(offset));
    this.#unsaved = true; // Soon enough with the next write: a PUBREL that is not needed does no harm.
  }

  #runsOf(stream: StreamId): readonly Run[] {
    return this.#runs.get(stream) ?? [];
  }

  #find(stream: StreamId, offset: number): Run | undefined {
    if (this.#last?.has(stream, offset) === true) return this.#last;
    this.#last = this.#runsOf(stream).find((run) => run.has(stream, offset));
    return this.#last;
  }

  #add(run: Run): void {
    const known = this.#runs.get(run.stream);
    if (known === undefined) this.#runs.set(run.stream, [run]);
    else known.push(run);
  }

  /** What a stored position covers does not come up again. An open one keeps its id until it is over. */
  #prune(): void {
    for (const [stream, runs] of this.#runs) {
      const had = this.#options.hadOf(stream);
      const kept = runs.filter(
        (run) => run.isOpen || had === undefined || holesIn(had, run.from, run.to).length > 0,
      );
      if (kept.length === runs.length) continue;
      this.#last = undefined;
      if (kept.length === 0) this.#runs.delete(stream);
      else this.#runs.set(stream, kept);
    }
  }

  /** So many ids in a row that no run has. */
  #take(count: number, beside: readonly Run[]): number | undefined {
    const taken = [...[...this.#runs.values()].flat(), ...beside].filter(
      ({ firstId }) => firstId > 0,
    );
    let at = this.#next;
    for (let wraps = 0; wraps < 2;) {
      if (at + count - 1 > LAST_ID) {
        at = 1;
        wraps++;
        continue;
      }
      const begin = at;
      const clash = taken.find((run) => run.firstId < begin + count && run.endId > begin);
      if (clash === undefined) {
        this.#next = at + count > LAST_ID ? 1 : at + count;
        return at;
      }
      at = clash.endId;
    }
    return undefined;
  }

  async #load(far: string): Promise<void> {
    const bytes = this.#options.isDoubtful === true ? undefined : await this.#stored();
    this.#far = far;
    if (bytes === undefined) return;
    let stored: Stored;
    try {
      stored = JSON.parse(Buffer.from(bytes).toString('utf8')) as Stored;
    } catch (error) {
      const text = `what the MQTT mirror has under way is not readable: ${messageOf(error)}`;
      throw new GatelogError('STORE_CORRUPT', text, { cause: error });
    }
    this.#next = stored.next;
    if (stored.far !== far) return;
    const runs = stored.runs.map((one) => Run.restored(one));
    // The log lost its end: under their ids other records would be sent, and be taken for these.
    if (runs.some(({ stream, to }) => to > (this.#ends.get(stream) ?? 0))) return;
    for (const run of runs) {
      this.#add(run);
      for (const offset of run.openOffsets()) this.#open.set(run.idOf(offset), { run, offset });
    }
  }

  #stored(): Promise<Uint8Array | undefined> {
    return this.#options.values.get(HANDSHAKES_KEY);
  }

  /** One write at a time; those that are asked for meanwhile are one. */
  #save(): Promise<void> {
    this.#unsaved = true;
    this.#waiting ??= this.#writing
      .catch(() => {}) // Who asked for it was told.
      .then(() => {
        this.#waiting = undefined;
        this.#writing = this.#write();
        return this.#writing;
      });
    return this.#waiting;
  }

  async #write(): Promise<void> {
    this.#unsaved = false;
    const runs = [...this.#runs.values()].flat().filter(({ firstId }) => firstId > 0);
    const stored: Stored = {
      far: must(this.#far, 'a session has begun'),
      next: this.#next,
      runs: runs.map((run) => run.stored()),
    };
    try {
      await this.#options.values.put(HANDSHAKES_KEY, Buffer.from(JSON.stringify(stored)));
    } catch (error) {
      this.#unsaved = true;
      throw error;
    }
  }
}
