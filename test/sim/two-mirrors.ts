import { must } from '../../src/assert.ts';
import { GatelogError } from '../../src/errors.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { CLASSES, DRAINS, type TopicPattern } from '../../src/mirror/selection.ts';
import { type Random, seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicOptions } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import type { Clock } from '../../src/time.ts';
import { SimClock } from '../support/sim-clock.ts';
import type { SendFate } from '../support/simulated-upstream.ts';
import { WiredUpstream } from '../support/wired-upstream.ts';
import { CrashDisk } from './crash-disk.ts';
import { Life } from './life.ts';
import { randomPolicy, ShiftyLink } from './random-policy.ts';

/**
 * Two mirrors over one log, each to a far side, with an order and a link policy of its own, while the
 * process dies, links break and either is paused: neither may lose, repeat or hold up anything for
 * what becomes of the other.
 */
export interface TwoMirrorsOutcome {
  /** By mirror: what is wrong with what arrived there. */
  readonly problems: readonly string[];
  readonly records: number;
  readonly crashes: number;
  readonly connects: number;
}

const TOPIC: TopicOptions = {
  partitions: 2,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
};
const TOPICS = ['telemetry', 'events'] as const;
const NAMES = ['central', 'second'] as const;
const STEPS = 60;
const FATES: readonly SendFate[] = ['late', 'fail-before', 'fail-after', 'zombie', 'silent'];
const NO_HEADERS = new Uint8Array(0);

interface Far {
  readonly name: string;
  readonly upstream: WiredUpstream;
  readonly link: ShiftyLink;
  mirror: Mirror | undefined;
}

export class TwoMirrors {
  readonly #random: Random;
  readonly #clock = new SimClock();
  readonly #disk: CrashDisk;
  readonly #fars: readonly Far[];
  /** Acknowledged values, by stream and offset. */
  readonly #values = new Map<StreamId, string[]>();
  #life = new Life();
  #store: Store | undefined;
  #faults = true;
  #count = 0;
  #crashes = 0;

  constructor(seed: number) {
    this.#random = seededRandom(seed);
    this.#disk = new CrashDisk(this.#random, this.#clock);
    this.#fars = NAMES.map((name) => ({
      name,
      link: new ShiftyLink(),
      mirror: undefined,
      upstream: new WiredUpstream({
        clock: this.#clock,
        exactlyOnce: true,
        fate: () => this.#fate(),
        connectFails: () =>
          this.#faults && this.#chance(0.1)
            ? new GatelogError('UPSTREAM_UNREACHABLE', 'no route')
            : undefined,
        latencyMs: () => 1 + this.#random.next() * 50,
      }),
    }));
  }

  async run(): Promise<TwoMirrorsOutcome> {
    await this.#boot(true);
    for (let step = 0; step < STEPS; step++) await this.#step();
    // Faults and policies end, and everything goes up.
    this.#faults = false;
    await this.#stop();
    await this.#boot(false);
    for (const { mirror } of this.#fars) {
      const running = must(mirror, 'it was booted');
      await this.#clock.settled(running.resume());
      await this.#clock.until(() => {
        const { state, lagRecords } = running.status();
        return state === 'live' && lagRecords === 0;
      });
    }
    await this.#clock.advance(10_000);
    const problems = this.#fars.flatMap((far) => this.#problemsOf(far));
    await this.#stop();
    const connects = this.#fars.map(({ upstream }) => upstream.connects.length);
    return {
      problems,
      records: this.#count,
      crashes: this.#crashes,
      connects: connects.reduce((sum, one) => sum + one, 0),
    };
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  #oneOf<T>(choices: readonly T[]): T {
    return must(choices[Math.floor(this.#random.next() * choices.length)], 'below its length');
  }

  #fate(): SendFate {
    return !this.#faults || this.#chance(0.7) ? 'ok' : this.#oneOf(FATES);
  }

  async #step(): Promise<void> {
    const far = this.#oneOf(this.#fars);
    far.link.isMetered = this.#chance(0.2);
    const dice = this.#random.next();
    if (dice < 0.08) await this.#crash();
    else if (dice < 0.12) await this.#restart();
    else if (dice < 0.22)
      far.upstream.breakSession(new GatelogError('UPSTREAM_UNREACHABLE', 'cut'));
    else if (dice < 0.28) far.mirror?.pause().catch(() => {});
    else if (dice < 0.42) far.mirror?.resume().catch(() => {});
    else for (let rest = Math.floor(this.#random.next() * 30); rest > 0; rest--) this.#append();
    await this.#clock.advance(this.#random.next() * (this.#chance(0.2) ? 5000 : 30));
  }

  #append(): void {
    const { reader, writer } = must(this.#store, 'it runs');
    const topic = must(reader.topic(this.#oneOf(TOPICS)), 'it was defined');
    const stream = this.#oneOf(topic.streams);
    const value = `record ${this.#count++}`;
    const life = this.#life;
    const done = (error: Error | null, offset: number): void => {
      if (error !== null || life.ended) return;
      const known = this.#values.get(stream) ?? [];
      known[offset] = value;
      this.#values.set(stream, known);
    };
    const bytes = Buffer.from(value);
    writer.append(stream, this.#clock.nowMs(), null, bytes, NO_HEADERS, 'fsync', done);
  }

  async #crash(): Promise<void> {
    this.#crashes++;
    this.#life.ended = true;
    this.#disk.crash();
    await this.#boot(true);
  }

  async #restart(): Promise<void> {
    await this.#stop();
    await this.#boot(true);
  }

  async #boot(withPolicies: boolean): Promise<void> {
    const life = new Life();
    this.#life = life;
    await this.#clock.settled(this.#build(life, withPolicies));
  }

  async #build(life: Life, withPolicies: boolean): Promise<void> {
    const clock = life.clock(this.#clock);
    const random = seededRandom(Math.floor(this.#random.next() * 2 ** 32));
    const engine = this.#disk.engine(life);
    const where = { folder: 'simulated', engine, segmentBytes: 2000, lingerMs: 0 };
    const logger = silentLogger;
    const store = await openStore({ ...where, clock, random, logger, compression: 'none' });
    for (const name of [...TOPICS, '_quarantine']) store.writer.defineTopic(name, TOPIC);
    for (const far of this.#fars) {
      far.mirror = await this.#mirrorOf(far, store, { life, clock, random, withPolicies });
      await far.mirror.start();
    }
    this.#store = store;
  }

  async #mirrorOf(
    { name, upstream, link }: Far,
    store: Store,
    parts: { life: Life; clock: Clock; random: Random; withPolicies: boolean },
  ): Promise<Mirror> {
    const { life, clock, random, withPolicies } = parts;
    const space = store.keyValue(`link/${name}`);
    const policy = withPolicies ? await randomPolicy(random, { space, clock, link }) : undefined;
    upstream.wire = policy?.wire;
    return new Mirror({
      name,
      gateway: 'gw',
      incarnation: store.identity.incarnation,
      reader: store.reader,
      positions: await store.positions(`mirror/${name}`, { pins: true }),
      ledger: store.ledger,
      quarantine: {
        writer: store.writer,
        topic: must(store.reader.topic('_quarantine'), 'it was defined'),
      },
      decisions: store.keyValue(`mirror/${name}`),
      sampled: store.keyValue(`sampled/${name}`),
      upstream: life.upstream(upstream),
      policy,
      topics: this.#topics(),
      laneBounds: {
        aheadRanges: 4,
        seamRecords: Math.floor(random.next() * 20),
        reseamRecords: 40,
        newestChunkRecords: 1 + Math.floor(random.next() * 15),
        lanePasses: 3,
        backlogRecords: 10,
      },
      batching: { maxRecords: 1 + Math.floor(random.next() * 40), maxWaitMs: 0 },
      sendMs: 30_000,
      backoff: { firstMs: 10, maxMs: 500 },
      clock,
      random,
      logger: silentLogger,
    });
  }

  /** `telemetry` keeps its order at both. */
  #topics(): TopicPattern[] {
    return [
      { match: 'telemetry', class: this.#oneOf(CLASSES), drain: 'backlog-first' },
      { match: 'events', class: this.#oneOf(CLASSES), drain: this.#oneOf(DRAINS) },
    ];
  }

  async #stop(): Promise<void> {
    for (const { mirror } of this.#fars) {
      await this.#clock.settled(must(mirror, 'it was booted').stop());
    }
    await this.#clock.settled(must(this.#store, 'it was booted').close());
    this.#life.ended = true;
  }

  #problemsOf({ name, upstream }: Far): string[] {
    const problems: string[] = [];
    const found = new Map<StreamId, Map<number, string>>();
    const { reader } = must(this.#store, 'it runs');
    const ordered = new Set(reader.topic('telemetry')?.streams);
    let repeats = 0;
    let disorder = 0;
    for (const { at, record } of upstream.delivered) {
      const known = found.get(at.stream) ?? new Map<number, string>();
      found.set(at.stream, known);
      const last = [...known.keys()].at(-1) ?? -1;
      if (known.has(record.offset)) repeats++;
      else if (ordered.has(at.stream) && record.offset < last) disorder++;
      known.set(record.offset, Buffer.from(record.value ?? []).toString());
    }
    if (repeats > 0) problems.push(`${name}: ${repeats} repeats`);
    if (disorder > 0) problems.push(`${name}: ${disorder} out of order`);
    for (const topic of TOPICS) {
      for (const stream of reader.topic(topic)?.streams ?? []) {
        const { endOffset } = reader.range(stream);
        const arrived = found.get(stream)?.size ?? 0;
        if (arrived !== endOffset)
          problems.push(`${name}: ${arrived} of ${endOffset} in ${stream}`);
      }
    }
    for (const [stream, values] of this.#values) {
      for (const [offset, value] of values.entries()) {
        if (value === undefined) continue; // Written, and never acknowledged.
        const arrived = found.get(stream)?.get(offset);
        if (arrived !== value) problems.push(`${name}: ${stream}@${offset} is ${arrived}`);
      }
    }
    return problems;
  }
}
