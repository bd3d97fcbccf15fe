import { messageOf } from '../errors.ts';
import { SESSION_LIMITS } from '../session-limits.ts';
import type { KeyWrite, OrderedSpace } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';

/** Where sessions are kept: a space of the state database, or memory where there is none. */
export type SessionSpace = Pick<OrderedSpace, 'get' | 'write' | 'scan'>;

interface Change {
  readonly value: Uint8Array | undefined;
  /** Nothing of this key was ever written: taking it back costs nothing. */
  readonly fresh: boolean;
}

/** One write under way or to come, and who waits for it. */
class Round {
  readonly changes = new Map<string, Change>();
  readonly done: Promise<void>;
  settle: (error?: Error) => void = () => {};
  /** Somebody waits, also where all of it was taken back since. */
  awaited = false;

  constructor() {
    this.done = new Promise((resolve, reject) => {
      this.settle = (error) => (error === undefined ? resolve() : reject(error));
    });
    this.done.catch(() => {}); // nobody may wait
  }
}

/**
 * Changes to sessions on their way to the disk: group commit. While one synced write is under way
 * everything that changes gathers for the next, so one sync carries the acknowledgements of many.
 * What nobody waits for is written within SESSION_LIMITS.writeLateMs.
 */
export class SessionJournal {
  readonly #space: SessionSpace;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #gathering = new Round();
  #writing: Round | undefined;
  #woken = false;
  #late: Timer | undefined;
  #failing = false;

  constructor(space: SessionSpace, surroundings: { clock: Clock; logger: Logger }) {
    this.#space = space;
    this.#clock = surroundings.clock;
    this.#logger = surroundings.logger;
  }

  /** `fresh`: no value of this key was ever written. */
  put(key: string, value: Uint8Array, fresh: boolean = false): void {
    this.#change(key, { value, fresh });
  }

  remove(key: string): void {
    const pending = this.#gathering.changes.get(key);
    if (pending?.fresh === true) this.#gathering.changes.delete(key);
    else this.#change(key, { value: undefined, fresh: false });
  }

  /** As it is to be on the disk. */
  get(key: string): Promise<Uint8Array | undefined> {
    const change = this.#gathering.changes.get(key) ?? this.#writing?.changes.get(key);
    return change === undefined ? this.#space.get(key) : Promise.resolve(change.value);
  }

  /** Something was changed and is not on the disk yet. */
  get pending(): boolean {
    return this.#writing !== undefined || this.#gathering.changes.size > 0;
  }

  /** Resolves when all changes until now are on the disk. */
  durable(): Promise<void> {
    if (this.#gathering.changes.size === 0) return this.#writing?.done ?? Promise.resolve();
    this.#gathering.awaited = true;
    this.#wake();
    return this.#gathering.done;
  }

  /** Writes what is left; a failure is only told. */
  async close(): Promise<void> {
    await this.durable().catch(() => {});
    this.#late?.cancel();
  }

  #change(key: string, change: Change): void {
    const { changes } = this.#gathering;
    const known = changes.get(key);
    // What is being written, or taken back, may stand on the disk.
    const fresh = known?.fresh ?? (change.fresh && this.#writing?.changes.has(key) !== true);
    changes.delete(key); // its place is at the end: writes are cut into parts in this order
    changes.set(key, { value: change.value, fresh });
    this.#writeLate();
  }

  #writeLate(): void {
    this.#late ??= this.#clock.after(SESSION_LIMITS.writeLateMs, () => {
      this.#late = undefined;
      this.#wake();
    });
  }

  /** After the sockets that are readable now were read: they share the write. */
  #wake(): void {
    if (this.#woken || this.#writing !== undefined) return;
    this.#woken = true;
    setImmediate(() => {
      this.#woken = false;
      void this.#write();
    });
  }

  async #write(): Promise<void> {
    while (this.#writing === undefined) {
      const round = this.#gathering;
      if (round.changes.size === 0 && !round.awaited) return;
      this.#gathering = new Round();
      this.#writing = round;
      this.#late?.cancel();
      this.#late = undefined;
      const failure = await this.#writeParts(round);
      this.#writing = undefined;
      if (failure !== undefined) this.#takeBack(round);
      round.settle(failure);
      if (failure !== undefined) return;
    }
  }

  async #writeParts({ changes }: Round): Promise<Error | undefined> {
    try {
      for (const part of parts(changes)) await this.#space.write(part);
      if (this.#failing) this.#logger.info({}, 'sessions are kept on the disk again');
      this.#failing = false;
      return undefined;
    } catch (error) {
      const line = 'sessions could not be written; nothing that stands on it is acknowledged';
      if (!this.#failing) this.#logger.error({ error: messageOf(error) }, line);
      this.#failing = true;
      return error instanceof Error ? error : new Error(messageOf(error));
    }
  }

  /** It is tried again with what comes next; what changed meanwhile counts. */
  #takeBack(round: Round): void {
    const since = this.#gathering.changes;
    const merged = new Map<string, Change>();
    for (const [key, change] of round.changes) {
      if (!since.has(key)) merged.set(key, { ...change, fresh: false });
    }
    for (const [key, change] of since) {
      merged.set(key, round.changes.has(key) ? { ...change, fresh: false } : change);
    }
    since.clear();
    for (const [key, change] of merged) since.set(key, change);
    this.#writeLate();
  }
}

/** Each is written in one step. */
function* parts(changes: ReadonlyMap<string, Change>): Generator<KeyWrite[]> {
  let part: KeyWrite[] = [];
  let bytes = 0;
  for (const [key, { value }] of changes) {
    const size = key.length + (value?.length ?? 0);
    if (part.length > 0 && bytes + size > SESSION_LIMITS.writeBytes) {
      yield part;
      part = [];
      bytes = 0;
    }
    part.push({ key, value });
    bytes += size;
  }
  if (part.length > 0) yield part;
}
