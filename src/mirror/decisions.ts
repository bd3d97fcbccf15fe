import type { PendingSkip } from './skip.ts';
import type { KeyValue } from '../store/log.ts';

/**
 * What a person decided about a mirror and what must outlive a restart: pauses, and seeks that no
 * session has taken over yet. Every change is synced before the call that asked for it resolves.
 */
export interface PendingSeek {
  readonly topic: string;
  readonly partition: number;
  readonly offset: number;
}

interface Stored {
  readonly paused: boolean;
  readonly pausedSinceMs: number;
  readonly pausedTopics: Readonly<Record<string, number>>;
  readonly seeks: readonly PendingSeek[];
  readonly skips: readonly PendingSkip[];
}

const KEY = 'decisions';
const NONE: Stored = { paused: false, pausedSinceMs: 0, pausedTopics: {}, seeks: [], skips: [] };

export class Decisions {
  readonly #space: KeyValue;
  #stored: Stored;
  #writing: Promise<void> = Promise.resolve();
  /** What the space holds. */
  #durable: Stored;

  private constructor(space: KeyValue, stored: Stored) {
    this.#space = space;
    this.#stored = stored;
    this.#durable = stored;
  }

  static async load(space: KeyValue): Promise<Decisions> {
    const bytes = await space.get(KEY);
    if (bytes === undefined) return new Decisions(space, NONE);
    const stored = JSON.parse(Buffer.from(bytes).toString('utf8')) as Partial<Stored>;
    return new Decisions(space, { ...NONE, ...stored });
  }

  /** Since when (wall clock, ms) the whole mirror is paused, or undefined. */
  get pausedSinceMs(): number | undefined {
    return this.#stored.paused ? this.#stored.pausedSinceMs : undefined;
  }

  topicPausedSinceMs(topic: string): number | undefined {
    return Object.hasOwn(this.#stored.pausedTopics, topic)
      ? this.#stored.pausedTopics[topic]
      : undefined;
  }

  get pausedTopics(): string[] {
    return Object.keys(this.#stored.pausedTopics);
  }

  get seeks(): readonly PendingSeek[] {
    return this.#stored.seeks;
  }

  get skips(): readonly PendingSkip[] {
    return this.#stored.skips;
  }

  pause(nowMs: number): Promise<void> {
    if (this.#stored.paused) return this.#writing;
    return this.#change((stored) => ({ ...stored, paused: true, pausedSinceMs: nowMs }));
  }

  resume(): Promise<void> {
    return this.#change((stored) => ({ ...stored, paused: false }));
  }

  pauseTopic(topic: string, nowMs: number): Promise<void> {
    if (this.topicPausedSinceMs(topic) !== undefined) return this.#writing;
    return this.#change((stored) => ({
      ...stored,
      pausedTopics: { ...stored.pausedTopics, [topic]: nowMs },
    }));
  }

  resumeTopic(topic: string): Promise<void> {
    return this.#change((stored) => {
      const { [topic]: _, ...pausedTopics } = stored.pausedTopics;
      return { ...stored, pausedTopics };
    });
  }

  /** A later seek of the same partition replaces the earlier one. */
  addSeeks(seeks: readonly PendingSeek[]): Promise<void> {
    return this.#change((stored) => {
      const others = stored.seeks.filter((old) => !seeks.some((seek) => samePlace(old, seek)));
      return { ...stored, seeks: [...others, ...seeks] };
    });
  }

  /**
   * Removes exactly these; one that was replaced meanwhile stays. Writes also what could not be
   * written before: a seek that is done would be done again after a restart.
   */
  seeksDone(done: readonly PendingSeek[]): Promise<void> {
    if (done.length === 0 && this.#durable === this.#stored) return Promise.resolve();
    return this.#change((stored) => ({
      ...stored,
      seeks: stored.seeks.filter((seek) => !done.includes(seek)),
    }));
  }

  addSkip(skip: PendingSkip): Promise<void> {
    return this.#change((stored) => ({ ...stored, skips: [...stored.skips, skip] }));
  }

  skipsDone(done: readonly PendingSkip[]): Promise<void> {
    if (done.length === 0) return Promise.resolve();
    return this.#change((stored) => ({
      ...stored,
      skips: stored.skips.filter((skip) => !done.includes(skip)),
    }));
  }

  /** Takes effect in memory at once; durable when resolved. Writes keep their order. */
  #change(change: (stored: Stored) => Stored): Promise<void> {
    const stored = change(this.#stored);
    this.#stored = stored;
    this.#writing = this.#writing.catch(() => {}).then(() => this.#write(stored));
    return this.#writing;
  }

  async #write(stored: Stored): Promise<void> {
    await this.#space.put(KEY, Buffer.from(JSON.stringify(stored)));
    this.#durable = stored;
  }
}

function samePlace(one: PendingSeek, other: PendingSeek): boolean {
  return one.topic === other.topic && one.partition === other.partition;
}
