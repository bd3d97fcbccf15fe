import { must } from '../../assert.ts';
import { GatelogError } from '../../errors.ts';
import { MIRROR_LIMITS } from '../../mirror-limits.ts';
import type { Clock } from '../../time.ts';
import type { Lane } from './lane.ts';

/**
 * The transactional ids of a gateway: its own and, where batches wait for one, more with a number
 * behind it, so that the next transaction travels while the one before is being ended.
 *
 * Who takes the gateway over must know them all, or one that it missed could still commit. So the
 * coordinators themselves are the book of them: a session first takes the gateway's own id (lane
 * 1), then asks which of the others exist, and takes those. And an id that is new is used only
 * after a transaction of lane 1 was committed whose EndTxn left when the id existed already: a
 * successor had not taken lane 1 then, so its question comes later and finds the id.
 */
export interface RingParts {
  /** Makes the lane with this number; its transactional id is not taken over yet. */
  readonly laneOf: (index: number) => Lane;
  /** Most lanes; 1 where the brokers can not be asked which ids exist (before Kafka 3.0). */
  readonly most: number;
  /** Told of every id that exists from now on. */
  readonly onGrown: (index: number) => void;
  /** Told of an id that we have no right to; no other is tried in this ring. */
  readonly onRefused: (transactionalId: string) => void;
  readonly clock: Pick<Clock, 'monotonicMs'>;
}

/** Taken over already. */
export interface TakenLanes {
  /** Lane 1. */
  readonly first: Lane;
  /** Of ids that existed when lane 1 was ours. */
  readonly existing: readonly Lane[];
  /** Of ids that may be new. */
  readonly unproven: readonly Lane[];
}

/** A transactional id as long as there are several. '#' is in no gateway's name. */
export function ringId(transactionalId: string, index: number): string {
  return index === 1 ? transactionalId : `${transactionalId}#${index}`;
}

/** From 1. */
export function laneNumbers(most: number = MIRROR_LIMITS.kafkaLanes): number[] {
  return Array.from({ length: most }, (_, index) => index + 1);
}

export class Ring {
  readonly #parts: RingParts;
  readonly #first: Lane;
  readonly #free: Lane[];
  readonly #waiting: PromiseWithResolvers<Lane>[] = [];
  #failure: { readonly error: unknown } | undefined;
  /** Taken over, and no transaction of lane 1 has proved since that we still own it. */
  #unproven: readonly Lane[];
  /** Numbers of the lanes that there are, those being made included. */
  readonly #numbers: Set<number>;
  /** We have no right to more of them. */
  #isRefused = false;
  /** Monotonic ms before which no other is tried: it failed, for the moment. */
  #growsFromMs = Number.NEGATIVE_INFINITY;

  constructor(parts: RingParts, { first, existing, unproven }: TakenLanes) {
    this.#parts = parts;
    this.#first = first;
    this.#free = [first, ...existing];
    this.#unproven = unproven;
    this.#numbers = new Set([first, ...existing, ...unproven].map(({ index }) => index));
  }

  get isSingle(): boolean {
    return this.#numbers.size === 1;
  }

  /** In the order of the calls. Rejects once a batch has failed: those after it are not sent. */
  take(): Promise<Lane> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure.error);
    const taker = Promise.withResolvers<Lane>();
    this.#waiting.push(taker);
    this.#serve();
    if (this.#waiting.length > 0 && this.#mayGrow()) void this.#grow();
    return taker.promise;
  }

  #mayGrow(): boolean {
    const { most, clock } = this.#parts;
    if (this.#isRefused || this.#numbers.size >= most) return false;
    return clock.monotonicMs() >= this.#growsFromMs;
  }

  /** Nothing more is sent: whoever waits for a lane is told why. */
  fail(error: unknown): void {
    this.#failure ??= { error };
    for (const taker of this.#waiting.splice(0)) taker.reject(error);
  }

  /** Lane 1 first: where one is enough it is that one. */
  give(lane: Lane): void {
    if (lane === this.#first) this.#free.unshift(lane);
    else this.#free.push(lane);
    this.#serve();
  }

  #serve(): void {
    for (;;) {
      const [next] = this.#waiting;
      const [lane] = this.#free;
      if (next === undefined || lane === undefined) return;
      this.#waiting.shift();
      this.#free.shift();
      next.resolve(lane);
    }
  }

  /** Commits the lane's transaction. */
  async commit(lane: Lane): Promise<void> {
    const proven = lane === this.#first ? this.#unproven : [];
    await lane.commit();
    if (proven.length === 0) return;
    this.#unproven = this.#unproven.filter((one) => !proven.includes(one));
    for (const one of proven) this.give(one);
  }

  /** One lane more, in the background: what is sent meanwhile goes on without it. */
  async #grow(): Promise<void> {
    const index = must(
      laneNumbers(this.#parts.most).find((number) => !this.#numbers.has(number)),
      'there are fewer lanes than there may be',
    );
    this.#numbers.add(index);
    const { laneOf, clock } = this.#parts;
    const lane = laneOf(index);
    try {
      await lane.initialise();
      this.#parts.onGrown(index);
      this.#unproven = [...this.#unproven, lane];
    } catch (error) {
      // The link's own trouble comes out with the transactions that go on.
      this.#numbers.delete(index);
      this.#growsFromMs = clock.monotonicMs() + MIRROR_LIMITS.kafkaLaneRetryMs;
      if (!(error instanceof GatelogError) || error.code !== 'UPSTREAM_UNAUTHORIZED') return;
      this.#isRefused = true;
      this.#parts.onRefused(lane.transactionalId);
    }
  }
}
