import { TRIAL_LIMITS } from '../../trial-limits.ts';
import type { Random } from '../../random.ts';
import { isoTime, type Clock, type Timer } from '../../time.ts';
import type { Model, SensorSpec } from './sensors.ts';

/** One life of a connection to a broker; a lost one is never used again. */
export interface DeviceConnection {
  /** QoS 1. Resolves with the PUBACK; rejects when the connection is lost before it. */
  publish(topic: string, payload: Uint8Array): Promise<void>;
  /** Resolves when the connection is gone, for whatever reason. */
  readonly closed: Promise<void>;
  /** Ends the connection; never rejects. */
  close(): Promise<void>;
}

/** Rejects when there is no connection to be had now; the device tries again. */
export type Dial = (clientId: string, signal: AbortSignal) => Promise<DeviceConnection>;

interface Reading {
  readonly seq: number;
  readonly payload: Uint8Array;
  /** On the connection of this number; 0 when it was never sent. */
  sentOn: number;
  acknowledged: boolean;
}

export interface DeviceOptions {
  readonly spec: SensorSpec;
  /** Id of this run of the demo: readings of earlier runs on the same folder are told apart by it. */
  readonly run: string;
  readonly dial: Dial;
  readonly clock: Clock;
  readonly random: Random;
  readonly onAcknowledged?: () => void;
}

const RECONNECT_FIRST_MS = 200;
const RECONNECT_MAX_MS = 1500;

/**
 * A simulated sensor that behaves as a good device does: it numbers its readings without gaps,
 * keeps each until it was acknowledged, and after a lost connection sends what it keeps again, in
 * order. So a reading may be in the edge log twice (its own doing, counted as sent again), but an
 * acknowledged one may never be missing, and first occurrences are in order.
 */
export class Device {
  readonly #options: DeviceOptions;
  readonly #model: Model;
  /** Not acknowledged, ascending by seq; the first demoSensorWindow of them may be on the wire. */
  readonly #kept: Reading[] = [];
  readonly #stop = new AbortController();
  #connection: DeviceConnection | undefined;
  #connections = 0;
  #lastSeq = 0;
  #waiting = 0;
  #sentAgain = 0;
  #skipped = 0;
  #lastText = '';
  #speed = 1;
  #measuring = true;
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;

  constructor(options: DeviceOptions) {
    this.#options = options;
    this.#model = options.spec.model(options.random);
  }

  start(): void {
    this.#running ??= this.#stayConnected();
    this.#schedule(this.#options.spec.intervalMs * this.#options.random.next());
  }

  get spec(): SensorSpec {
    return this.#options.spec;
  }

  get connected(): boolean {
    return this.#connection !== undefined;
  }

  /** Readings whose acknowledgement has come. */
  get acknowledged(): number {
    return this.#lastSeq - this.waiting;
  }

  /** Readings kept because no acknowledgement has come. */
  get waiting(): number {
    return this.#waiting;
  }

  get sentAgain(): number {
    return this.#sentAgain;
  }

  /** Measurements not taken because the memory was full. */
  get skipped(): number {
    return this.#skipped;
  }

  get lastText(): string {
    return this.#lastText;
  }

  get lastSeq(): number {
    return this.#lastSeq;
  }

  /** Numbers of the readings whose acknowledgement has not come. */
  unacknowledged(): ReadonlySet<number> {
    const open = this.#kept.filter((reading) => !reading.acknowledged);
    return new Set(open.map((reading) => reading.seq));
  }

  setSpeed(speed: number): void {
    this.#speed = speed;
  }

  /** A paused sensor takes no readings; what it keeps is still sent. */
  setMeasuring(measuring: boolean): void {
    if (measuring === this.#measuring) return;
    this.#measuring = measuring;
    if (measuring && this.#running !== undefined) this.#schedule(this.#intervalMs());
    else this.#timer?.cancel();
  }

  /** Ends the connection. What is kept stays unacknowledged. */
  async stop(): Promise<void> {
    this.#timer?.cancel();
    this.#measuring = false;
    this.#stop.abort();
    await this.#running;
  }

  #intervalMs(): number {
    const jitter = 0.95 + this.#options.random.next() * 0.1;
    return (this.#options.spec.intervalMs * jitter) / this.#speed;
  }

  #schedule(delayMs: number): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(delayMs, () => {
      if (!this.#measuring) return;
      this.#measure();
      this.#schedule(this.#intervalMs());
    });
  }

  #measure(): void {
    const { spec, run, clock } = this.#options;
    if (this.#kept.length >= TRIAL_LIMITS.demoSensorBacklog) {
      this.#skipped++;
      return;
    }
    const nowMs = clock.nowMs();
    const { fields, text } = this.#model(nowMs);
    this.#lastText = text;
    this.#lastSeq++;
    this.#waiting++;
    const body = { sensor: spec.name, run, seq: this.#lastSeq, time: isoTime(nowMs), ...fields };
    const payload = Buffer.from(JSON.stringify(body));
    this.#kept.push({ seq: this.#lastSeq, payload, sentOn: 0, acknowledged: false });
    this.#send();
  }

  /** Puts on the wire what the window allows and this connection has not seen yet. */
  #send(): void {
    const connection = this.#connection;
    if (connection === undefined) return;
    const life = this.#connections;
    for (const reading of this.#kept.slice(0, TRIAL_LIMITS.demoSensorWindow)) {
      if (reading.sentOn === life || reading.acknowledged) continue;
      if (reading.sentOn !== 0) this.#sentAgain++;
      reading.sentOn = life;
      connection.publish(this.#options.spec.topic, reading.payload).then(
        () => this.#acknowledge(reading),
        // Lost or refused: the reading is kept, and the next connection sends it again.
        () => void connection.close(),
      );
    }
  }

  #acknowledge(reading: Reading): void {
    if (reading.acknowledged) return;
    reading.acknowledged = true;
    this.#waiting--;
    while (this.#kept[0]?.acknowledged === true) this.#kept.shift();
    this.#options.onAcknowledged?.();
    this.#send();
  }

  async #stayConnected(): Promise<void> {
    const { signal } = this.#stop;
    const stopped = aborted(signal);
    let waitMs = RECONNECT_FIRST_MS;
    while (!signal.aborted) {
      const connection = await this.#connect(signal);
      if (connection === undefined) {
        await this.#options.clock.sleep(waitMs * (0.5 + this.#options.random.next()), signal);
        waitMs = Math.min(waitMs * 2, RECONNECT_MAX_MS);
        continue;
      }
      waitMs = RECONNECT_FIRST_MS;
      this.#connections++;
      this.#connection = connection;
      this.#send();
      await Promise.race([connection.closed, stopped]);
      this.#connection = undefined;
      await connection.close();
    }
  }

  async #connect(signal: AbortSignal): Promise<DeviceConnection | undefined> {
    try {
      return await this.#options.dial(this.#options.spec.name, signal);
    } catch {
      // The agent is down or restarting: a device knows no more than that, and tries again.
      return undefined;
    }
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener('abort', () => resolve(), { once: true });
  });
}
