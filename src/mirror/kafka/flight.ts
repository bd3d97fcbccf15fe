import type { Coverages } from '../../coverage.ts';
import type { LinkPace, Rejection } from '../upstream.ts';
import type { Cargo } from './encode.ts';
import type { Range } from './plan.ts';

/**
 * One batch on its way, and what those after it wait for. Promises that nobody may wait for: their
 * failures are told to the batch's own caller.
 */
export class Flight {
  /** Whether its positions have to be noted in the journal before they may be committed. */
  readonly standing: 'beyond our books' | 'in our books';
  readonly ranges: readonly Range[];
  /** Committed with it: what has been had of its streams then. */
  readonly after: Coverages;
  readonly rejected: Rejection[] = [];
  cargo: readonly Cargo[];
  bytesSent = 0;
  pace: LinkPace | undefined;
  /** A transaction of it is open. */
  isBegun = false;
  #isRepeat = false;
  #sent: PromiseWithResolvers<void> = quietResolvers();
  #isSent = false;
  readonly #committed: PromiseWithResolvers<void> = quietResolvers();
  #recalled: PromiseWithResolvers<void> = quietResolvers();
  #grounded: PromiseWithResolvers<void> | undefined;

  constructor(
    ranges: readonly Range[],
    cargo: readonly Cargo[],
    after: Coverages,
    standing: Flight['standing'],
  ) {
    this.standing = standing;
    this.ranges = ranges;
    this.cargo = cargo;
    this.after = after;
  }

  /** Its records and positions are on their connections: what is sent now arrives after them. */
  get sent(): Promise<void> {
    return this.#sent.promise;
  }

  get committed(): Promise<void> {
    return this.#committed.promise;
  }

  /** Settles when this batch has to be taken back, because one before it is sent anew. */
  get recalled(): Promise<void> {
    return this.#recalled.promise;
  }

  /** It is to be sent anew and was not yet: what comes after it may have to wait for long. */
  get isHeld(): boolean {
    return this.#isRepeat && !this.#isSent;
  }

  get isRecalled(): boolean {
    return this.#grounded !== undefined;
  }

  noteSent(): void {
    this.#isSent = true;
    this.#sent.resolve();
  }

  /** It is to be sent anew: those after it wait again. */
  again(): void {
    this.#isRepeat = true;
    if (!this.#isSent) return;
    this.#isSent = false;
    this.#sent = quietResolvers();
  }

  /** Resolves when nothing of it is open any more. */
  recall(): Promise<void> {
    this.again();
    this.#grounded ??= quietResolvers();
    this.#recalled.resolve();
    return this.#grounded.promise;
  }

  /** Taken back: it may be sent again. */
  noteGrounded(): void {
    this.#grounded?.resolve();
    this.#grounded = undefined;
    this.#recalled = quietResolvers();
  }

  noteCommitted(): void {
    this.#committed.resolve();
  }

  fail(error: unknown): void {
    this.#sent.reject(error);
    this.#committed.reject(error);
    this.#grounded?.reject(error);
  }
}

function quietResolvers(): PromiseWithResolvers<void> {
  const resolvers = Promise.withResolvers<void>();
  resolvers.promise.catch(() => {});
  return resolvers;
}
