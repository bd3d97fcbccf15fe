import { assert, must } from '../../src/assert.ts';
import { GatelogError, messageOf } from '../../src/errors.ts';
import { Auditor, type AuditReport } from '../../src/mirror/audit.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { CLASSES, DRAINS, type TopicPattern } from '../../src/mirror/selection.ts';
import type { SampleRule } from '../../src/mirror/sample-rule.ts';
import { partitionOfKey } from '../../src/murmur2.ts';
import { type Random, seededRandom } from '../../src/random.ts';
import type { StreamId } from '../../src/record.ts';
import type { Store, TopicInfo, TopicOptions } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { SimClock } from '../support/sim-clock.ts';
import type { SendFate } from '../support/simulated-upstream.ts';
import { WiredUpstream } from '../support/wired-upstream.ts';
import { CrashDisk } from './crash-disk.ts';
import { isLeftOut, type LeftOut, leftOutOf } from './left-out.ts';
import { Life } from './life.ts';
import { type Logged, readAll, text } from './read-all.ts';
import { randomPolicy, ShiftyLink } from './random-policy.ts';

export interface SimulationOptions {
  readonly seed: number;
  /** The far side keeps the positions, in one step with the records. */
  readonly exactlyOnce: boolean;
  /** Topics of several classes and orders, and a link that costs, decided anew at every start. */
  readonly mixed?: boolean;
}

/** What a run has to answer for. */
export interface Outcome {
  readonly audit: AuditReport;
  /** Acknowledged records that the log no longer has, or has otherwise. */
  readonly lost: readonly string[];
  /** Records that are both at the far side and in quarantine, or in neither. */
  readonly misplaced: readonly string[];
  /** Delivered records that differ from the log's. */
  readonly altered: readonly string[];
  readonly acknowledged: number;
  readonly crashes: number;
  readonly restarts: number;
  readonly connects: number;
  readonly quarantined: number;
  /** Steps at which the link's policy held something back. */
  readonly held: number;
  /** Steps at which a sample had gone in this life of the process. */
  readonly sampled: number;
}

interface Acknowledged {
  readonly stream: StreamId;
  readonly offset: number;
  readonly value: string;
}

const OPTIONS: TopicOptions = {
  partitions: 3,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
};
const TOPICS = ['telemetry', 'events', 'late'];
const QUARANTINE = '_quarantine';
const STEPS = 40;

export class Simulation {
  readonly #random: Random;
  readonly #clock = new SimClock();
  readonly #disk: CrashDisk;
  readonly #far: WiredUpstream;
  readonly #link = new ShiftyLink();
  readonly #acknowledged: Acknowledged[] = [];
  readonly #topics = new Set(['telemetry']);
  readonly #mixed: boolean;
  #faults = true;
  #life = new Life();
  #store: Store | undefined;
  #mirror: Mirror | undefined;
  #values = 0;
  #crashes = 0;
  #restarts = 0;
  #held = 0;
  #sampled = 0;

  constructor({ seed, exactlyOnce, mixed = false }: SimulationOptions) {
    this.#mixed = mixed;
    if (mixed) this.#topics.add('events');
    this.#random = seededRandom(seed);
    this.#disk = new CrashDisk(this.#random, this.#clock);
    this.#far = new WiredUpstream({
      clock: this.#clock,
      exactlyOnce,
      fate: () => this.#fate(),
      connectFails: () =>
        this.#faults && this.#chance(0.1)
          ? new GatelogError('UPSTREAM_UNREACHABLE', 'no route')
          : undefined,
      reject: (_at, record) =>
        text(record).endsWith('refuse me') ? 'the far side does not like it' : undefined,
      latencyMs: () => 1 + this.#random.next() * 50,
    });
  }

  async run(): Promise<Outcome> {
    await this.#boot();
    for (let step = 0; step < STEPS; step++) await this.#step();
    this.#faults = false;
    this.#disk.failing = 0;
    this.#link.isMetered = false;
    this.#link.isClockSound = true;
    if (this.#store === undefined) await this.#boot();
    const mirror = must(this.#mirror, 'a process runs');
    await this.#clock.settled(mirror.resume());
    await this.#clock.until(() => {
      const { state, lagRecords } = mirror.status();
      // A fence that was on its way when the faults ceased.
      if (state === 'halted') this.#decide((one) => one.resume());
      return state === 'live' && lagRecords === 0;
    });
    await this.#clock.advance(10_000);
    const outcome = await this.#clock.settled(this.#judge());
    await this.#stop();
    return outcome;
  }

  #chance(probability: number): boolean {
    return this.#random.next() < probability;
  }

  #below(count: number): number {
    return Math.floor(this.#random.next() * count);
  }

  #fate(): SendFate {
    if (!this.#faults || this.#chance(0.7)) return 'ok';
    const fates = ['late', 'fail-before', 'fail-after', 'zombie', 'silent', 'fence'] as const;
    return must(fates[this.#below(fates.length)], 'below its length');
  }

  async #step(): Promise<void> {
    const dice = this.#random.next();
    this.#disk.failing = this.#chance(0.1) ? 0.3 : 0;
    if (this.#mixed) {
      if (this.#chance(0.2)) this.#link.isMetered = this.#chance(0.5);
      this.#link.isClockSound = this.#chance(0.9);
    }
    if (dice < 0.06) this.#crash();
    else if (dice < 0.1) await this.#stop();
    else if (dice < 0.16) this.#far.breakSession(new GatelogError('UPSTREAM_UNREACHABLE', 'cut'));
    else if (dice < 0.22) this.#decide((mirror) => mirror.pause());
    else if (dice < 0.34) this.#decide((mirror) => mirror.resume());
    else if (dice < 0.38) this.#addTopic();
    else for (let count = this.#below(30); count > 0; count--) this.#append();
    // A crash falls anywhere: in the middle of a commit, of a send, of a start.
    await this.#clock.advance(
      this.#random.next() * (this.#chance(this.#mixed ? 0.4 : 0.2) ? 5000 : 30),
    );
    if ((this.#mirror?.status().link?.holds.length ?? 0) > 0) this.#held++;
    if ((this.#mirror?.status().recordsSampled ?? 0) > 0) this.#sampled++;
    if (this.#store === undefined && this.#chance(0.7)) await this.#boot();
  }

  /** A person's word; the process may die before it is stored. */
  #decide(act: (mirror: Mirror) => Promise<unknown>): void {
    if (this.#mirror !== undefined) act(this.#mirror).catch(() => {});
  }

  #addTopic(): void {
    const next = TOPICS[this.#topics.size];
    if (next === undefined || this.#store === undefined) return;
    this.#topics.add(next);
    this.#store.writer.defineTopic(next, OPTIONS);
  }

  #append(): void {
    const store = this.#store;
    if (store === undefined) return;
    const names = [...this.#topics];
    const topic = store.reader.topic(must(names[this.#below(names.length)], 'below its length'));
    if (topic === undefined) return;
    const key = Buffer.from(`device/${this.#below(9)}`);
    const stream = streamOfKey(topic, key);
    const value = `${this.#values++}${this.#chance(0.02) ? ' refuse me' : ''}`;
    const life = this.#life;
    const done = (error: Error | null, offset: number): void => {
      if (error === null && !life.ended) this.#acknowledged.push({ stream, offset, value });
    };
    const { writer } = store;
    writer.append(stream, this.#clock.nowMs(), key, Buffer.from(value), NONE, 'fsync', done);
  }

  async #boot(): Promise<void> {
    const life = new Life();
    this.#life = life;
    const clock = life.clock(this.#clock);
    const booting = this.#build(life, clock);
    // Some starts are cut short, too.
    if (this.#faults && this.#chance(0.15)) {
      booting.catch(() => {});
      await this.#clock.advance(this.#random.next() * 20);
      this.#crash();
      return;
    }
    try {
      await this.#clock.settled(booting);
    } catch (error) {
      // A start that meets the full disk ends the process; it is started again.
      const expected = messageOf(error).includes('injected');
      if (!expected || this.#disk.failing === 0) throw error;
      this.#crash();
    }
  }

  async #build(life: Life, clock: ReturnType<Life['clock']>): Promise<void> {
    const random = seededRandom(this.#below(2 ** 32));
    const logger = silentLogger;
    const engine = this.#disk.engine(life);
    const lingerMs = this.#chance(0.5) ? 0 : 5;
    const segmentBytes = 2000;
    const options = { folder: 'simulated', clock, random, logger, engine, lingerMs, segmentBytes };
    const store = await openStore({ ...options, compression: 'none' });
    const quarantine = store.writer.defineTopic(QUARANTINE, { ...OPTIONS, partitions: 1 });
    for (const name of this.#topics) store.writer.defineTopic(name, OPTIONS);
    const space = store.keyValue('link/central');
    const parts = { space, clock, link: this.#link };
    const policy = this.#mixed ? await randomPolicy(random, parts) : undefined;
    this.#far.wire = policy?.wire;
    const mirror = new Mirror({
      name: 'central',
      gateway: 'gw',
      incarnation: store.identity.incarnation,
      reader: store.reader,
      positions: await store.positions('mirror/central', { pins: true }),
      ledger: store.ledger,
      quarantine: { writer: store.writer, topic: quarantine },
      decisions: store.keyValue('mirror/central'),
      sampled: store.keyValue('sampled/central'),
      upstream: life.upstream(this.#far),
      policy,
      topics: this.#mixed ? this.#mixedTopics() : ['*'],
      laneBounds: {
        aheadRanges: 4,
        seamRecords: this.#below(20),
        reseamRecords: 40,
        newestChunkRecords: 1 + this.#below(15),
        lanePasses: 3,
        backlogRecords: 10,
      },
      batching: { maxRecords: 1 + this.#below(40), maxWaitMs: this.#chance(0.5) ? 0 : 20 },
      window: 1 + this.#below(3),
      sendMs: 30_000,
      backoff: { firstMs: 10, maxMs: 500 },
      clock,
      random,
      logger,
    });
    await mirror.start();
    assert(!life.ended, 'a dead process builds nothing');
    this.#store = store;
    this.#mirror = mirror;
  }

  /** `telemetry` keeps its order: its disorder counts. */
  #mixedTopics(): TopicPattern[] {
    const oneOf = <T>(choices: readonly T[]): T =>
      must(choices[this.#below(choices.length)], 'below its length');
    return [
      { match: 'telemetry', class: oneOf(CLASSES), drain: 'backlog-first' },
      ...['events', 'late'].map((match) => {
        const rule = { match, class: oneOf(CLASSES) };
        if (this.#chance(0.5)) return { ...rule, drain: oneOf(DRAINS) };
        return { ...rule, drain: 'backlog-first' as const, sample: this.#sample() };
      }),
      '*',
    ];
  }

  #sample(): SampleRule {
    const perMs = [100, 400, 3000][this.#below(3)] ?? 0;
    if (this.#chance(0.2)) return { when: 'always', perMs, rest: 'ledger' };
    return { when: 'metered', perMs, rest: this.#chance(0.3) ? 'ledger' : 'later' };
  }

  #crash(): void {
    if (this.#life.ended) return;
    this.#crashes++;
    this.#life.ended = true;
    this.#store = undefined;
    this.#mirror = undefined;
    this.#disk.crash();
  }

  /** In good order, as SIGTERM would. */
  async #stop(): Promise<void> {
    const { store, mirror } = { store: this.#store, mirror: this.#mirror };
    if (store === undefined || mirror === undefined) return;
    this.#restarts++;
    this.#disk.failing = 0;
    await this.#clock.settled(mirror.stop());
    await this.#clock.settled(store.close());
    this.#life.ended = true;
    this.#store = undefined;
    this.#mirror = undefined;
  }

  async #judge(): Promise<Outcome> {
    const store = must(this.#store, 'a process runs');
    const logged = await readAll(store, [...this.#topics]);
    const gaps = await readAll(store, [GAPS]);
    const quarantined = await readAll(store, [QUARANTINE]);
    const put = new Set([...quarantined.values()].map(({ record }) => text(record)));
    const lost = this.#acknowledged.filter(({ stream, offset, value }) => {
      const found = logged.get(`${stream}:${offset}`);
      return found === undefined || text(found.record) !== value;
    });
    const delivered = new Set(this.#far.delivered.map(({ record }) => text(record)));
    const leftOut = await leftOutOf(store.ledger);
    const misplaced = [...logged.values()].filter(
      (one) =>
        delivered.has(text(one.record)) === put.has(text(one.record)) &&
        (put.has(text(one.record)) || !isLeftOut(leftOut, one.topic, one.partition, one.record)),
    );
    const altered = this.#far.delivered.filter(({ at, record }) => {
      const own = at.topic === GAPS ? gaps : logged;
      const found = own.get(`${at.stream}:${record.offset}`);
      return found === undefined || text(found.record) !== text(record);
    });
    return {
      audit: this.#audit(
        store,
        [...logged.values()].filter(({ record }) => put.has(text(record))),
        leftOut,
      ),
      lost: lost.map(({ stream, offset, value }) => `${stream}:${offset} ${value}`),
      misplaced: misplaced.map(({ record }) => text(record)),
      altered: altered.map(({ at, record }) => `${at.topic}/${at.partition}:${record.offset}`),
      acknowledged: this.#acknowledged.length,
      crashes: this.#crashes,
      restarts: this.#restarts,
      connects: this.#far.connects.length,
      quarantined: put.size,
      held: this.#held,
      sampled: this.#sampled,
    };
  }

  #audit(store: Store, quarantined: readonly Logged[], leftOut: readonly LeftOut[]): AuditReport {
    const auditor = new Auditor((topic) => this.#mixed && topic !== 'telemetry');
    const identity = { gateway: 'gw', incarnation: store.identity.incarnation };
    for (const [index, { at, record }] of this.#far.delivered.entries()) {
      const { topic, partition } = at;
      const key = Buffer.from(record.key ?? []).toString('latin1');
      const place = { topic, partition, offset: index };
      auditor.feed({ ...identity, topic, partition, offset: record.offset }, key, place);
    }
    for (const name of this.#topics) {
      const topic = store.reader.topic(name);
      for (const [partition, stream] of topic?.streams.entries() ?? []) {
        const { endOffset } = store.reader.range(stream);
        auditor.expect({ ...identity, topic: name, partition }, { from: 0, to: endOffset });
      }
    }
    for (const { topic, partition, record } of quarantined) {
      const range = { from: record.offset, to: record.offset + 1 };
      auditor.declareLost({ ...identity, topic, partition }, range, 'quarantine');
    }
    for (const { topic, partition, records, ...range } of leftOut)
      auditor.declareLost({ ...identity, topic, partition }, range, 'sampled', records);
    return auditor.report();
  }
}

const NONE = new Uint8Array(0);
/** Where the loss ledger goes: rejected records stand in it. */
const GAPS = '_gaps';

function streamOfKey(topic: TopicInfo, key: Uint8Array): StreamId {
  const partition = partitionOfKey(key, topic.streams.length);
  return must(topic.streams[partition], 'a partition of this topic');
}
