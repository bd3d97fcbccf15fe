import { KAFKA_DEFAULTS } from '../../src/mirror/kafka/options.ts';
import { Pace } from '../../src/mirror/kafka/pace.ts';
import type { PacedSize } from '../../src/mirror/paced-size.ts';
import { type Random, seededRandom } from '../../src/random.ts';
import { SimClock } from './sim-clock.ts';

/** A link, and what is behind it. */
export interface LinkOptions {
  readonly bytesPerSecond: number;
  readonly roundTripMs: number;
  /** Share of segments that are lost; a fiftieth of them is found by the sender's timer only. */
  readonly loss: number;
  /** The broker's own time for a request. */
  readonly brokerMs?: number;
  readonly seed?: number;
  /** Bytes as read for one on the line. */
  readonly ratio?: number;
  /** Of transactions. */
  readonly timeoutMs?: number;
  /** A batch ends with a commit of so many bytes as read, where one fits. */
  readonly commitBytes?: number;
}

export interface Carried {
  readonly atMs: number;
  readonly wireBytes: number;
  /** For so long its transaction was open. */
  readonly openMs: number;
}

const SEGMENT = 1448;
const TIMED_OUT_SHARE = 0.02;
const RATIO = 4;
const SMALL_BYTES = 200;

interface Packet {
  bytes: number;
  readonly arrived: () => void;
}

/** What a batch waits for of the one before it. */
interface Turn {
  readonly sent: Promise<void>;
  readonly committed: Promise<void>;
}

/**
 * One session of a mirror to three brokers, each with a connection that keeps its order, and
 * one more for requests, over one line on which all take turns. What is lost is late, and what comes after it on its connection with it.
 * As exactly-once.ts has it: begin, produce, end, batches in order, several transactions at once.
 */
export class SimulatedLink {
  readonly clock: SimClock = new SimClock();
  readonly carried: Carried[] = [];
  readonly #link: LinkOptions;
  readonly #random: Random;
  readonly #queues = new Map<string, { packets: Packet[]; arrivedMs: number }>();
  readonly #ready: string[] = [];
  #isServing = false;
  #lanes: number;
  #underWay = 0;
  /** Of the commit that is being read. */
  #commitLeft = 0;
  #changed = Promise.withResolvers<void>();

  constructor(link: LinkOptions, lanes: number) {
    this.#link = link;
    this.#random = seededRandom(link.seed ?? 3);
    this.#lanes = lanes;
  }

  /** Batches without end, until the clock is left standing. */
  async run(size: PacedSize): Promise<void> {
    const pace = new Pace(this.clock, this.#link.timeoutMs ?? KAFKA_DEFAULTS.transactionTimeoutMs);
    let before: Turn = { sent: Promise.resolve(), committed: Promise.resolve() };
    for (;;) {
      await this.#until(() => this.#underWay < size.window);
      this.#underWay++;
      const [sent, committed] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
      void this.#fly(size, pace, before, sent.resolve).then(committed.resolve);
      before = { sent: sent.promise, committed: committed.promise };
    }
  }

  async #fly(size: PacedSize, pace: Pace, before: Turn, noteSent: () => void): Promise<void> {
    const bytes = this.#read(size.bytes);
    await this.#until(() => this.#lanes > 0);
    this.#lanes--;
    const begunMs = this.clock.monotonicMs();
    await pace.ofSmall(this.#request('requests', SMALL_BYTES));
    await before.sent;
    const wireBytes = bytes / (this.#link.ratio ?? RATIO);
    const brokers = ['a', 'b', 'c'].map((one) => this.#request(one, wireBytes / 3));
    const timed = pace.ofBatch(Promise.all(brokers), begunMs);
    noteSent();
    const told = await timed;
    await before.committed;
    await this.#request('requests', SMALL_BYTES);
    this.#lanes++;
    this.#underWay--;
    const atMs = this.clock.monotonicMs();
    this.carried.push({ atMs, wireBytes, openMs: atMs - begunMs });
    const batch = { slices: [], gaps: [], records: 1, bytes };
    size.follow(told, { batch, isFull: true });
    this.#notify();
  }

  /** As a cursor does: whole commits, as many as fit; of one that does not fit, a part. */
  #read(mostBytes: number): number {
    const { commitBytes } = this.#link;
    if (commitBytes === undefined) return mostBytes;
    if (this.#commitLeft === 0) this.#commitLeft = commitBytes;
    if (this.#commitLeft > mostBytes) {
      this.#commitLeft -= mostBytes;
      return mostBytes;
    }
    const whole = Math.floor((mostBytes - this.#commitLeft) / commitBytes);
    const bytes = this.#commitLeft + whole * commitBytes;
    this.#commitLeft = 0;
    return bytes;
  }

  async #request(connection: string, bytes: number): Promise<void> {
    await new Promise<void>((resolve) => this.#send(connection, bytes, resolve));
    await this.clock.sleep(this.#link.roundTripMs / 2 + (this.#link.brokerMs ?? 8));
  }

  #send(connection: string, bytes: number, arrived: () => void): void {
    let queue = this.#queues.get(connection);
    if (queue === undefined) this.#queues.set(connection, (queue = { packets: [], arrivedMs: 0 }));
    if (queue.packets.length === 0) this.#ready.push(connection);
    queue.packets.push({ bytes, arrived });
    if (!this.#isServing) void this.#serve();
  }

  /** Each connection one segment, in turns; on a fast line some at once, for the sake of time. */
  async #serve(): Promise<void> {
    this.#isServing = true;
    for (;;) {
      const name = this.#ready.shift();
      const queue = name === undefined ? undefined : this.#queues.get(name);
      const [packet] = queue?.packets ?? [];
      if (name === undefined || queue === undefined || packet === undefined) break;
      const { bytesPerSecond, loss, roundTripMs } = this.#link;
      const size = Math.min(packet.bytes, Math.max(SEGMENT, bytesPerSecond / 500));
      const isLost = this.#random.next() < 1 - (1 - loss) ** Math.max(size / SEGMENT, 1);
      const isLate = isLost && this.#random.next() < TIMED_OUT_SHARE;
      const takesMs =
        (size / bytesPerSecond) * 1000 + (isLost ? (SEGMENT / bytesPerSecond) * 1000 : 0);
      await this.clock.sleep(takesMs);
      const heldMs = isLost ? roundTripMs + (isLate ? 1000 : 0) : 0;
      queue.arrivedMs = Math.max(
        queue.arrivedMs,
        this.clock.monotonicMs() + roundTripMs / 2 + heldMs,
      );
      packet.bytes -= size;
      if (packet.bytes <= 0) {
        queue.packets.shift();
        this.clock.after(queue.arrivedMs - this.clock.monotonicMs(), packet.arrived);
      }
      if (queue.packets.length > 0) this.#ready.push(name);
    }
    this.#isServing = false;
  }

  #notify(): void {
    this.#changed.resolve();
    this.#changed = Promise.withResolvers();
  }

  async #until(reached: () => boolean): Promise<void> {
    while (!reached()) await this.#changed.promise;
  }
}
