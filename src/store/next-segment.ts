import { messageOf } from '../errors.ts';
import type { Logger } from '../telemetry.ts';
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

  /** False when it could not be made: that fails no commit, the one before is written on. */
  async ready(): Promise<boolean> {
    try {
      await this.#created;
      return true;
    } catch (error) {
      this.#logger.warn(
        { event: 'store.roll', segment: this.first, error: messageOf(error) },
        'the next segment could not be made; the one before it is written on',
      );
      this.first = undefined;
      return false;
    }
  }

  /** It was moved to. */
  taken(): void {
    this.first = undefined;
  }

  /** Another is wanted, with an earlier commit. */
  async giveWay(): Promise<void> {
    await this.settled();
    if (this.first !== undefined) await this.#segments.remove(this.first);
    this.first = undefined;
  }

  /** Resolves when it is made, or known not to be. */
  async settled(): Promise<void> {
    await this.#created.catch(() => {});
    if (this.first !== undefined && !this.#segments.has(this.first)) this.first = undefined;
  }
}
