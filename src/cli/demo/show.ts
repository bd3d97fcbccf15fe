import { GatelogError } from '../../errors.ts';
import { TRIAL_LIMITS } from '../../trial-limits.ts';
import type { Random } from '../../random.ts';
import type { Clock } from '../../time.ts';
import { CatchUp } from './catch-up.ts';
import type { Child, ChildEnd } from './child.ts';
import type { Dial } from './device.ts';
import type { EventLog } from './events.ts';
import { Fleet } from './fleet.ts';
import { History } from './history.ts';
import type { LinkState } from './link.ts';
import type { Actor, Stage } from './stage.ts';
import type { CentreState, DemoState, LinkView, NodeState } from './state.ts';
import { oneLine, plural, shortSeconds } from './text.ts';
import type { PartitionName } from './verify.ts';
import { endsOf, flowOf, positionsOf, sumOf } from './watch.ts';

export interface ShowOptions {
  readonly events: EventLog;
  readonly clock: Clock;
  readonly random: Random;
  /** Connects a sensor to the agent on this port. */
  readonly dialTo: (port: number) => Dial;
  /** `gatelog mirror pause|resume`, on the agent of a folder. */
  readonly steer: (folder: string, mirror: string, verb: 'pause' | 'resume') => Promise<void>;
  readonly forMs: number | undefined;
}

const SECOND_MS = 1000;

/** The run itself: sensors, what a person does to the parts, and what comes of it. */
export class Show {
  readonly #options: ShowOptions;
  readonly #stage: Stage;
  readonly #history = new History();
  readonly #catchUp = new CatchUp();
  readonly #over = new AbortController();
  readonly #startedMs: number;
  readonly fleet: Fleet;
  #ticking: Promise<void> | undefined;
  #runFrom: ReadonlyMap<PartitionName, number> = new Map();
  #link: LinkView = 'up';
  #allConnected = true;
  #notice: string | undefined;
  /** Acknowledged when the edge was asked last, and when it was asked what it then answered. */
  #acknowledgedAtAsk = 0;
  #acknowledged = 0;

  constructor(stage: Stage, options: ShowOptions) {
    this.#options = options;
    this.#stage = stage;
    this.#startedMs = options.clock.monotonicMs();
    const { clock, random } = options;
    const dial = options.dialTo(stage.edge.port);
    this.fleet = new Fleet({ run: random.hex(4), dial, clock, random });
  }

  get stage(): Stage {
    return this.#stage;
  }

  get link(): LinkView {
    return this.#link;
  }

  /** Where the edge's log ended before the first reading of this run. */
  get runFrom(): ReadonlyMap<PartitionName, number> {
    return this.#runFrom;
  }

  set notice(text: string | undefined) {
    this.#notice = text;
  }

  /** Waits until the agents are up, then lets the sensors measure. */
  async start(signal: AbortSignal): Promise<void> {
    const { edge, central } = this.#stage;
    if (central !== undefined) await this.#untilUp(central, signal);
    await this.#untilUp(edge, signal);
    if (signal.aborted) return;
    this.#runFrom = endsOf(edge.watch.latest);
    await this.#undoPause();
    this.fleet.start();
    this.#ticking = this.#tick();
  }

  /** A mirror keeps being paused over restarts; a show begins with one that runs. */
  async #undoPause(): Promise<void> {
    if (this.#flow().mirror !== 'paused') return;
    const { edge, mirror } = this.#stage;
    await this.#options.steer(edge.folder, mirror, 'resume');
    this.#options.events.say('the mirror was left paused: resumed');
  }

  async #untilUp({ child, name }: Actor, signal: AbortSignal): Promise<void> {
    while (child.phase !== 'running' && !signal.aborted) {
      if (child.phase === 'failed') throw failed(name, child);
      await this.#options.clock.sleep(50, signal);
    }
  }

  get hasStarted(): boolean {
    return this.#ticking !== undefined;
  }

  /** Until `signal` aborts; throws when an agent is given up. */
  async untilOver(signal: AbortSignal): Promise<void> {
    const { edge, central } = this.#stage;
    while (!signal.aborted) {
      for (const actor of [edge, central]) {
        if (actor?.child.phase === 'failed') throw failed(actor.name, actor.child);
      }
      await this.#options.clock.sleep(100, signal);
    }
  }

  /** A key that is not about quitting. */
  press(key: string): void {
    switch (key) {
      case 'c':
        return this.#cutOrRestore();
      case 'b':
        return this.#blackHole();
      case 'k':
        return this.#kill('edge');
      case 'K':
        return this.#kill('central');
      case 'p':
        return this.#pauseOrGoOn();
      case '+':
      case '=':
        return this.#changeSpeed(1);
      case '-':
        return this.#changeSpeed(-1);
      default:
    }
  }

  /** Ends what this class runs; sensors and agents are stopped by their owner. */
  async end(): Promise<void> {
    this.#over.abort();
    await this.#ticking;
  }

  /** Once a second. */
  async #tick(): Promise<void> {
    const { clock } = this.#options;
    const { signal } = this.#over;
    while (!signal.aborted) {
      const { mirrored, lagRecords } = this.#flow();
      this.#history.second(clock.monotonicMs(), {
        acknowledged: this.fleet.acknowledged,
        mirrored,
        lagRecords,
      });
      this.#noteSensors();
      this.#noteCatchUp(mirrored ?? 0);
      await clock.sleep(SECOND_MS, signal);
    }
  }

  #noteSensors(): void {
    const { connected, total, waiting } = this.fleet.state();
    const all = connected === total;
    if (all && !this.#allConnected) {
      const kept = waiting === 0 ? '' : `, ${plural(waiting, 'reading')} of theirs on the way`;
      this.#options.events.say(`all ${total} sensors are connected${kept}`);
    }
    this.#allConnected = all;
  }

  #noteCatchUp(mirrored: number): void {
    const done = this.#catchUp.check(this.#options.clock.monotonicMs(), mirrored);
    if (done === undefined) return;
    const text = `caught up in ${shortSeconds(done.tookMs)}: ${plural(done.records, 'record')}`;
    this.#options.events.say(text, 'good');
  }

  #flow(): ReturnType<typeof flowOf> {
    return flowOf(this.#stage.edge.watch.latest, this.#stage.mirror);
  }

  #cutOrRestore(): void {
    if (this.#stage.link === undefined) void this.#pauseOrResumeMirror();
    else this.#setLink(this.#link === 'up' ? 'cut' : 'up');
  }

  #blackHole(): void {
    if (this.#stage.link === undefined) {
      this.#options.events.say('no proxy can stand before Kafka: c pauses the mirror instead');
    } else this.#setLink(this.#link === 'black-hole' ? 'up' : 'black-hole');
  }

  #setLink(state: LinkState): void {
    const { link, edge, mirror } = this.#stage;
    const { events, steer } = this.#options;
    link?.set(state);
    this.#link = state;
    if (state !== 'up') {
      this.#catchUp.cancel();
      const text =
        state === 'cut' ? 'link cut by you' : 'link made a black hole: nothing comes through';
      events.say(text, 'bad');
      return;
    }
    events.say('link restored by you', 'good');
    this.#beginCatchUp();
    // A mirror that backs off may wait half a minute; a person at the keys should not.
    steer(edge.folder, mirror, 'resume').catch(() => {
      // The agent is down just now: it begins without a wait anyway.
    });
  }

  #beginCatchUp(): void {
    const { durable = 0, mirrored = 0 } = this.#flow();
    this.#catchUp.begin(this.#options.clock.monotonicMs(), mirrored, durable);
  }

  async #pauseOrResumeMirror(): Promise<void> {
    const { edge, mirror } = this.#stage;
    const { events, steer } = this.#options;
    const verb = this.#link === 'up' ? 'pause' : 'resume';
    try {
      await steer(edge.folder, mirror, verb);
    } catch {
      events.say(`the agent does not answer, mirror not ${verb}d`, 'warn');
      return;
    }
    if (verb === 'pause') {
      this.#link = 'paused';
      events.say(
        "mirror paused by you (Kafka's brokers are reached directly: no link to cut)",
        'warn',
      );
    } else {
      this.#link = 'up';
      this.#beginCatchUp();
      events.say('mirror resumed by you', 'good');
    }
  }

  #kill(name: Actor['name']): void {
    const actor = name === 'edge' ? this.#stage.edge : this.#stage.central;
    if (actor === undefined) return;
    if (actor.child.kill()) return;
    this.#options.events.say(`the ${label(name)} is down already`);
  }

  /**
   * The view shows acknowledgements as of the moment before the edge was asked for its durable
   * end: a later figure beside an older end would look like acknowledgements without a record.
   */
  asking(name: Actor['name']): void {
    if (name === 'edge') this.#acknowledgedAtAsk = this.fleet.acknowledged;
  }

  answered(name: Actor['name']): void {
    if (name === 'edge') this.#acknowledged = this.#acknowledgedAtAsk;
  }

  /** Called when an agent's process has ended unasked. */
  ended(name: Actor['name'], end: ChildEnd): void {
    const { events } = this.#options;
    if (end.killed) {
      events.say(`${label(name)} killed (SIGKILL), restarting`, 'bad');
      return;
    }
    const how = end.signal === null ? `with code ${String(end.code)}` : `by ${end.signal}`;
    const next = end.restartInMs === undefined ? 'given up' : 'restarting';
    events.say(`${label(name)} ended ${how}, ${next}`, 'bad');
    for (const line of end.tail.slice(-3)) events.say(`  ${line}`, 'bad');
  }

  /** Called when an agent answers after a start. */
  cameUp(name: Actor['name'], again: boolean): void {
    const { events, steer } = this.#options;
    const { edge, mirror } = this.#stage;
    const actor = name === 'edge' ? edge : this.#stage.central;
    const on = actor === undefined ? '' : ` on mqtt://127.0.0.1:${actor.port}`;
    events.say(`${label(name)} ${again ? 'is back' : 'runs'}${on}`, again ? 'good' : 'plain');
    if (!again) return;
    if (this.#link === 'up') this.#beginCatchUp();
    if (name === 'central') steer(edge.folder, mirror, 'resume').catch(() => {});
  }

  #pauseOrGoOn(): void {
    this.fleet.setPaused(!this.fleet.paused);
    this.#options.events.say(this.fleet.paused ? 'sensors paused by you' : 'sensors go on');
  }

  #changeSpeed(step: 1 | -1): void {
    const before = this.fleet.speed;
    this.fleet.changeSpeed(step);
    if (this.fleet.speed !== before) {
      this.#options.events.say(`sensors measure ×${this.fleet.speed}`);
    }
  }

  state(): DemoState {
    const { edge } = this.#stage;
    return {
      elapsedMs: this.#options.clock.monotonicMs() - this.#startedMs,
      forMs: this.#options.forMs,
      sensors: { ...this.fleet.state(), acknowledged: this.#acknowledged },
      edge: nodeOf(edge),
      link: this.#link,
      centre: this.#centre(),
      flow:
        edge.child.phase === 'running'
          ? this.#flow()
          : { ...this.#flow(), mirror: 'down', reason: undefined },
      history: this.#history.view(),
      readings: this.fleet.readings(),
      events: this.#options.events.all(),
      notice: this.#notice,
    };
  }

  #centre(): CentreState {
    const { central, kafka = [] } = this.#stage;
    if (central === undefined) return { kind: 'kafka', brokers: kafka.join(',') };
    const { latest } = central.watch;
    const stored = latest === undefined ? undefined : sumOf(endsOf(latest));
    return { kind: 'gatelog', node: nodeOf(central), stored };
  }

  /**
   * Sensors stop measuring, what they keep is acknowledged, what is durable is mirrored: each as
   * far as it is possible within its bound, or until `signal` aborts.
   */
  async drain(signal: AbortSignal): Promise<void> {
    const { clock } = this.#options;
    this.fleet.setPaused(true);
    const untilMs = clock.monotonicMs() + TRIAL_LIMITS.demoDrainMs;
    const wait = async (text: () => string, done: () => boolean): Promise<void> => {
      while (!done() && !signal.aborted && clock.monotonicMs() < untilMs) {
        this.#notice = `Stopping: ${text()} (q again: do not wait)`;
        await clock.sleep(100, signal);
      }
    };
    await wait(
      () => `${plural(this.fleet.waiting, 'reading')} to be acknowledged`,
      () => this.fleet.waiting === 0,
    );
    if (this.#link !== 'up') {
      const why = this.#link === 'paused' ? 'the mirror is paused' : 'the link is cut';
      this.#options.events.say(`${why}: what is not mirrored yet stays in the edge log`, 'warn');
      return;
    }
    // Counted anew: a status from before the last reading would look finished.
    await this.#stage.edge.watch.ask();
    await wait(
      () => `${plural(this.#flow().lagRecords ?? 0, 'record')} to be mirrored`,
      () => this.#stage.edge.child.phase === 'running' && this.#flow().lagRecords === 0,
    );
  }

  /** Next offsets wanted by the far side, as the mirror knew last. */
  confirmed(): ReadonlyMap<PartitionName, number> {
    return positionsOf(this.#stage.edge.watch.latest, this.#stage.mirror);
  }
}

function label(name: Actor['name']): string {
  return name === 'edge' ? 'edge agent' : 'central';
}

function nodeOf({ child, port }: Actor): NodeState {
  const { phase, pid, restarts } = child;
  return { phase, pid, restarts, address: `mqtt://127.0.0.1:${port}` };
}

function failed(name: Actor['name'], child: Child): GatelogError {
  const tail = child.tail.slice(-8).map((line) => `  ${oneLine(line)}`);
  const last = tail.length === 0 ? 'it said nothing' : `it said:\n${tail.join('\n')}`;
  return new GatelogError('INTERNAL', `the ${label(name)} does not start; ${last}`);
}
