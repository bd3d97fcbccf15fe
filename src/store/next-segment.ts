import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
import type { Database } from './database.ts';
import type { Segments } from './segments.ts';

/** The segment that takes over at its first commit, made ahead of need. */
export class NextSegment {
  readonly #segments: Segments;
  readonly #logger: Logger;
  #created: Promise<void> = Promise.resolve();
  /** undefined: none is made, or being made. */
  first: number | undefined;

  constructor(segments: Segments, logger: Logger) {
    this.#segments = segments;
    this.#logger = logger;
  }

  /** In the background. */
  create(first: number): void {
    this.first = first;
    this.#created = this.#segments.create(first);
    this.#created.catch(() => {});
  }

  /**
   * Holds it for the writer; undefined when it could not be made or opened: that fails no commit, the
   * one before is written on.
   */
  async hold(first: number): Promise<Database | undefined> {
    try {
      await this.#created;
      return await this.#segments.hold(first);
    } catch (error) {
      this.#logger.warn(
        { event: 'store.roll', segment: first, error: messageOf(error) },
        'the next segment could not be made; the one before it is written on',
      );
      // Left where it is it would hide what is written on.
      if (!(await this.giveWay())) throw error;
      return undefined;
    }
  }

  /** It was moved to. */
  taken(): void {
    this.first = undefined;
  }

  /** Another is wanted, with an earlier commit. False when somebody reads it: then it stays the next. */
  async giveWay(): Promise<boolean> {
    await this.settled();
    if (this.first !== undefined && !(await this.#segments.remove(this.first))) return false;
    this.first = undefined;
    return true;
  }

  /** Resolves when it is made, or known not to be. */
  async settled(): Promise<void> {
    await this.#created.catch(() => {});
    if (this.first !== undefined && !this.#segments.has(this.first)) this.first = undefined;
  }
}
