import { afterEach, beforeEach } from 'vitest';
import type { LogRecord, StreamId } from '../../src/record.ts';
import type { Store, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import type { StoreOptions } from '../../src/store/open.ts';
import { startMachine, type BootOptions, type ShiftyMachine } from './shifty-clock.ts';
import { append, FOREVER, inMemory, readAll, type Place } from './store-kit.ts';

/** What clocks are set to in tests. */
export const HOUR = 3_600_000;
export const DAY: number = 24 * HOUR;
export const YEAR: number = 365 * DAY;
export const MAY: number = Date.UTC(2026, 4, 1);
export const IN_1970 = 20_000;

/** A store in memory on a machine that boots, shuts down and has its clock set as a test wants. */
export class MachineRig {
  #place: Place | undefined;
  #machine: ShiftyMachine | undefined;
  #store: Store | undefined;

  /** Made anew for each test of the file. */
  static forEachTest(): MachineRig {
    const rig = new MachineRig();
    beforeEach(() => rig.newDisk());
    afterEach(async () => {
      await rig.shutDown();
      await rig.#place?.remove();
    });
    return rig;
  }

  get machine(): ShiftyMachine {
    if (this.#machine === undefined) throw new Error('the machine did not boot');
    return this.#machine;
  }

  get store(): Store {
    if (this.#store === undefined) throw new Error('the machine did not boot');
    return this.#store;
  }

  /** In place of what was stored; the machine is down. */
  async newDisk(): Promise<void> {
    await this.#place?.remove();
    this.#place = await inMemory.make();
  }

  /** The store as another process has it, which knows nothing of the clock's trust. */
  async reopen(options: Partial<StoreOptions> = {}): Promise<void> {
    await this.#store?.close();
    this.#store = await this.#place?.open(options);
  }

  async boot(options: BootOptions): Promise<void> {
    this.#machine = await startMachine(options);
    const { clock, trust } = this.#machine;
    const small = { segmentBytes: 30_000, compression: 'none' } as const;
    this.#store = await this.#place?.open({ clock, trust, ...small });
  }

  /** Asks for the time once: simulated days go by at once. */
  async bootIdle(options: BootOptions): Promise<void> {
    await this.boot(options);
    this.machine.trust.stop();
  }

  async shutDown(): Promise<void> {
    await this.#store?.close();
    this.#machine?.trust.stop();
  }

  /** A topic of one partition that keeps everything, but for `options`. */
  define(options: Partial<TopicOptions> = {}): TopicInfo {
    return this.store.writer.defineTopic('t', { ...FOREVER, partitions: 1, ...options });
  }

  /** As ingest does: stamped by the wall clock. */
  publish(topic: TopicInfo): Promise<number> {
    return append(this.store, streamOf(topic), { timestampMs: this.machine.clock.nowMs() });
  }

  async read(topic: TopicInfo): Promise<readonly LogRecord[]> {
    return (await readAll(this.store, topic.streams)).records.get(streamOf(topic)) ?? [];
  }
}

export function streamOf(topic: TopicInfo): StreamId {
  return topic.streams[0] as StreamId;
}
