import type { Random } from '../../random.ts';
import type { Clock } from '../../time.ts';
import { Device, type Dial } from './device.ts';
import { SENSORS, type SensorSpec } from './sensors.ts';
import type { ReadingState, SensorsState } from './state.ts';

export interface FleetOptions {
  readonly run: string;
  readonly dial: Dial;
  readonly clock: Clock;
  readonly random: Random;
  readonly specs?: readonly SensorSpec[];
}

/** How many times faster than in a real plant the sensors may measure. */
const SPEEDS = [1, 2, 5, 10, 20, 50] as const;

/** The simulated sensors as one thing to start, pause, hurry and stop. */
export class Fleet {
  readonly run: string;
  readonly devices: readonly Device[];
  #paused = false;
  #speed = 0;

  constructor({ specs = SENSORS, ...options }: FleetOptions) {
    this.run = options.run;
    this.devices = specs.map((spec) => new Device({ ...options, spec }));
  }

  start(): void {
    for (const device of this.devices) device.start();
  }

  get paused(): boolean {
    return this.#paused;
  }

  setPaused(paused: boolean): void {
    this.#paused = paused;
    for (const device of this.devices) device.setMeasuring(!paused);
  }

  get speed(): number {
    return SPEEDS[this.#speed] ?? 1;
  }

  /** One step faster (1) or slower (-1); stays at the ends. */
  changeSpeed(step: 1 | -1): void {
    this.#speed = Math.min(SPEEDS.length - 1, Math.max(0, this.#speed + step));
    for (const device of this.devices) device.setSpeed(this.speed);
  }

  get acknowledged(): number {
    return this.devices.reduce((sum, device) => sum + device.acknowledged, 0);
  }

  get waiting(): number {
    return this.devices.reduce((sum, device) => sum + device.waiting, 0);
  }

  async stop(): Promise<void> {
    await Promise.all(this.devices.map((device) => device.stop()));
  }

  state(): SensorsState {
    return {
      total: this.devices.length,
      connected: this.devices.filter((device) => device.connected).length,
      acknowledged: this.acknowledged,
      waiting: this.waiting,
      sentAgain: this.devices.reduce((sum, device) => sum + device.sentAgain, 0),
      paused: this.#paused,
      speed: this.speed,
    };
  }

  readings(): ReadingState[] {
    return this.devices
      .filter((device) => device.lastText !== '')
      .map((device) => ({ name: device.spec.name, text: device.lastText }));
  }
}
