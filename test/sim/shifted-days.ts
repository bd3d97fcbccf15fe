import { must } from '../../src/assert.ts';
import { LinkPolicy } from '../../src/mirror/policy/link-policy.ts';
import type { LinkRules } from '../../src/mirror/policy/policy-options.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { type Random, seededRandom } from '../../src/random.ts';
import type { Store } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';
import { WiredUpstream } from '../support/wired-upstream.ts';
import { CrashDisk } from './crash-disk.ts';
import { Life } from './life.ts';

/**
 * Days of a gateway with a link that costs, in minutes: the real store on a disk that crashes, the real
 * mirror and its policy kept in that store, and a clock of the test's that somebody sets wrong now and
 * then, which the gateway then knows not to believe.
 */
export interface DaysOptions {
  readonly seed: number;
  readonly beginMs: number;
  readonly hours: number;
  readonly rules: LinkRules;
}

/** What arrived, by true time. */
export interface Arrival {
  readonly atMs: number;
  readonly topic: 'alarm' | 'bulk' | 'telemetry';
  readonly number: number;
  readonly bytes: number;
  /** The gateway did not know the time. */
  readonly isLost: boolean;
}

export interface DaysOutcome {
  readonly arrivals: readonly Arrival[];
  /** By topic: acknowledged records. */
  readonly appended: ReadonlyMap<string, number>;
  readonly crashes: number;
  readonly restarts: number;
  readonly wrongHours: number;
}

const TOPICS = ['alarm', 'bulk', 'telemetry'] as const;
const EACH_HOUR = { alarm: 2, bulk: 4, telemetry: 20 } as const;
const VALUE_BYTES = { alarm: 100, bulk: 1000, telemetry: 200 } as const;
const STEP_MS = 300_000;
const SETTLE_MS = 10_000;
const HOUR_MS = 3_600_000;

export class ShiftedDays {
  readonly #options: DaysOptions;
  readonly #random: Random;
  readonly #clock: SimClock;
  readonly #disk: CrashDisk;
  readonly #far: WiredUpstream;
  readonly #arrivals: Arrival[] = [];
  readonly #appended = new Map<string, number>();
  #life = new Life();
  #store: Store | undefined;
  #mirror: Mirror | undefined;
  #isClockSound = true;
  #crashes = 0;
  #restarts = 0;
  #wrongHours = 0;

  constructor(options: DaysOptions) {
    this.#options = options;
    this.#random = seededRandom(options.seed);
    this.#clock = new SimClock(options.beginMs);
    this.#disk = new CrashDisk(this.#random, this.#clock);
    this.#far = new WiredUpstream({ clock: this.#clock, exactlyOnce: true });
  }

  async run(): Promise<DaysOutcome> {
    await this.#boot(this.#options.rules);
    for (let hour = 0; hour < this.#options.hours; hour++) await this.#hour();
    // Without rules the rest goes up.
    this.#setRight();
    await this.#stop();
    await this.#boot(undefined);
    const mirror = must(this.#mirror, 'it runs');
    await this.#clock.until(() => mirror.status().lagRecords === 0);
    this.#note(false);
    await this.#stop();
    return {
      arrivals: this.#arrivals,
      appended: this.#appended,
      crashes: this.#crashes,
      restarts: this.#restarts,
      wrongHours: this.#wrongHours,
    };
  }

  get #trueMs(): number {
    return this.#options.beginMs + this.#clock.monotonicMs();
  }

  async #hour(): Promise<void> {
    if (this.#random.next() < 0.25) this.#setWrong();
    else this.#setRight();
    const dice = this.#random.next();
    if (dice < 0.1) {
      this.#crashes++;
      this.#life.ended = true;
      this.#disk.crash();
      await this.#boot(this.#options.rules);
    } else if (dice < 0.2) {
      this.#restarts++;
      await this.#stop();
      await this.#boot(this.#options.rules);
    }
    // The policy looks every second: what came in the one of a window's end would go.
    await this.#clock.advance(SETTLE_MS);
    for (const topic of TOPICS) {
      for (let count = 0; count < EACH_HOUR[topic]; count++) this.#append(topic);
    }
    const endMs = (Math.floor(this.#clock.monotonicMs() / HOUR_MS) + 1) * HOUR_MS;
    while (this.#clock.monotonicMs() < endMs) {
      // So that no step reaches over a full hour, where windows open and close.
      await this.#clock.advance(STEP_MS - (this.#clock.monotonicMs() % STEP_MS));
      this.#note(!this.#isClockSound);
    }
  }

  #setWrong(): void {
    this.#wrongHours++;
    this.#isClockSound = false;
    this.#clock.set(this.#trueMs + Math.round((this.#random.next() - 0.5) * 60 * HOUR_MS));
  }

  #setRight(): void {
    this.#isClockSound = true;
    this.#clock.set(this.#trueMs);
  }

  #note(isLost: boolean): void {
    for (const { at, record } of this.#far.delivered.splice(0)) {
      const topic = must(
        TOPICS.find((name) => name === at.topic),
        'no other is mirrored',
      );
      const text = Buffer.from(record.value ?? []).toString();
      const number = Number(text.split(' ')[0]);
      this.#arrivals.push({ atMs: this.#trueMs, topic, number, bytes: text.length, isLost });
    }
  }

  #append(topic: (typeof TOPICS)[number]): void {
    const { writer, reader } = must(this.#store, 'it runs');
    const stream = must(reader.topic(topic)?.streams[0], 'it has a partition');
    const number = this.#appended.get(topic) ?? 0;
    this.#appended.set(topic, number + 1);
    const value = Buffer.from(`${number} `.padEnd(VALUE_BYTES[topic], '.'));
    // No crash comes before the next hour, so none of them is lost.
    writer.append(stream, this.#clock.nowMs(), null, value, NO_HEADERS, 'fsync', () => {});
  }

  async #boot(rules: LinkRules | undefined): Promise<void> {
    const life = new Life();
    this.#life = life;
    await this.#clock.settled(this.#build(life, rules));
  }

  async #build(life: Life, rules: LinkRules | undefined): Promise<void> {
    const clock = life.clock(this.#clock);
    const random = seededRandom(Math.floor(this.#random.next() * 2 ** 32));
    const logger = silentLogger;
    const engine = this.#disk.engine(life);
    const where = { folder: 'simulated', engine, segmentBytes: 50_000, lingerMs: 0 };
    const store = await openStore({ ...where, clock, random, logger, compression: 'none' });
    for (const name of [...TOPICS, '_quarantine']) store.writer.defineTopic(name, TOPIC);
    const policy = rules && (await this.#policyOf(rules, store, clock));
    this.#far.wire = policy?.wire;
    const mirror = new Mirror({
      name: 'central',
      gateway: 'gw',
      incarnation: store.identity.incarnation,
      reader: store.reader,
      positions: await store.positions('mirror/central', { pins: true }),
      ledger: store.ledger,
      quarantine: {
        writer: store.writer,
        topic: must(store.reader.topic('_quarantine'), 'it was defined'),
      },
      decisions: store.keyValue('mirror/central'),
      sampled: store.keyValue('sampled/central'),
      upstream: life.upstream(this.#far),
      policy,
      topics: [
        { match: 'alarm', class: 'alarm', drain: 'backlog-first' },
        { match: 'bulk', class: 'bulk', drain: 'backlog-first' },
        { match: 'telemetry', class: 'normal', drain: 'backlog-first' },
      ],
      backoff: { firstMs: 100, maxMs: 5000 },
      clock,
      random,
      logger,
    });
    await mirror.start();
    this.#store = store;
    this.#mirror = mirror;
  }

  #policyOf(rules: LinkRules, store: Store, clock: ReturnType<Life['clock']>): Promise<LinkPolicy> {
    return LinkPolicy.load({
      name: 'central',
      rules,
      space: store.keyValue('link/central'),
      clock,
      isClockSound: () => this.#isClockSound,
      logger: silentLogger,
      askKernel: () => Promise.resolve(undefined),
    });
  }

  async #stop(): Promise<void> {
    await this.#clock.settled(must(this.#mirror, 'it runs').stop());
    await this.#clock.settled(must(this.#store, 'it runs').close());
    this.#life.ended = true;
  }
}

const NO_HEADERS = new Uint8Array(0);
const TOPIC = {
  partitions: 1,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
} as const;
