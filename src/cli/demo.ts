import path from 'node:path';
import { ControlClient } from '../admin/control-client.ts';
import type { AgentStatus } from '../admin/status.ts';
import { GatelogError } from '../errors.ts';
import { connectPublisher } from '../mirror/mqtt/publisher.ts';
import { silentLogger } from '../telemetry.ts';
import { holdProcess } from '../time.ts';
import { formatDuration, parseDuration } from '../units.ts';
import { isColoured, printLine } from './context.ts';
import type { CliContext } from './context.ts';
import type { Dial } from './demo/device.ts';
import { EventLog } from './demo/events.ts';
import { type DemoFolder, openDemoFolder } from './demo/folder.ts';
import { judge } from './demo/judge.ts';
import { LiveOutput, type Output, PlainOutput } from './demo/output.ts';
import { Quit } from './demo/quit.ts';
import { reportLines, verdictOf } from './demo/report.ts';
import { Show } from './demo/show.ts';
import { openStage, type Stage } from './demo/stage.ts';
import { colours, noColours, plural } from './demo/text.ts';
import { awaitVacancy } from './demo/vacancy.ts';
import { endsOf, sumOf } from './demo/watch.ts';

export interface DemoOptions {
  readonly data?: string | undefined;
  readonly kafka?: string | undefined;
  readonly port?: number | undefined;
  readonly for?: string | undefined;
}

const DEFAULT_FOLDER = 'gatelog-data/demo';
const DEFAULT_PORT = 1883;
const STOP_MS = 25_000;
/** 128 and the signal's number: SIGHUP, SIGINT. */
const HUNG_UP = 129;
const ABANDONED = 130;
const DIAL = { connectTimeoutMs: 3000, keepAliveSeconds: 10 } as const;

/**
 * `gatelog demo`: sensors → edge agent → link → central, as real processes, with keys to break
 * them and a verify report at the end. Exit code 0 only when the report is clean.
 */
export async function runDemo(context: CliContext, options: DemoOptions): Promise<void> {
  const forMs = durationOf(options.for);
  const kafka = brokersOf(options.kafka);
  const port = portOf(options.port);
  const root = path.resolve(context.workingFolder, options.data ?? DEFAULT_FOLDER);
  const folder = await openDemoFolder(root, context.random);
  const { clock } = context;
  const held = holdProcess();
  try {
    await awaitVacancy({ folder, clock, ask });
    await new DemoRun(context, { folder, kafka, forMs, port }).run();
  } finally {
    held.cancel();
  }
}

function ask(dataFolder: string): Promise<AgentStatus> {
  return new ControlClient(dataFolder).status();
}

function durationOf(text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const ms = parseDuration(text);
  if (ms !== undefined && ms > 0) return ms;
  throw new GatelogError('USAGE', `--for: expected a duration such as 30s or 5m, found "${text}"`);
}

function portOf(port: number = DEFAULT_PORT): number {
  if (Number.isInteger(port) && port >= 1 && port <= 65_535) return port;
  throw new GatelogError('USAGE', '--port: expected a port from 1 to 65535');
}

function brokersOf(text: string | undefined): readonly string[] | undefined {
  if (text === undefined) return undefined;
  const brokers = text.split(',').map((broker) => broker.trim());
  if (brokers.every((broker) => /^[^\s:]+:\d{1,5}$|^\[[^\]]+\]:\d{1,5}$/u.test(broker))) {
    return brokers;
  }
  throw new GatelogError('USAGE', `--kafka: expected HOST:PORT,HOST:PORT, found "${text}"`);
}

interface RunSettings {
  readonly folder: DemoFolder;
  readonly kafka: readonly string[] | undefined;
  readonly forMs: number | undefined;
  readonly port: number;
}

/** One run, from the first process to the report. */
class DemoRun {
  readonly #context: CliContext;
  readonly #settings: RunSettings;
  readonly #events: EventLog;
  readonly #quit: Quit;
  #stage: Stage | undefined;
  #show: Show | undefined;
  #output: Output | undefined;
  #hungUp = false;
  /** The window was closed: ends well, and says nothing. */
  readonly #hangUp = (): void => {
    if (this.#hungUp) return;
    this.#hungUp = true;
    this.#context.exitCode = HUNG_UP;
    this.#quit.timeIsUp();
  };

  constructor(context: CliContext, settings: RunSettings) {
    this.#context = context;
    this.#settings = settings;
    this.#events = new EventLog(context.clock, (event) => this.#output?.event(event));
    this.#quit = new Quit(() => this.#abandon());
  }

  async run(): Promise<void> {
    const signals = ['SIGINT', 'SIGTERM'] as const;
    for (const signal of signals) process.on(signal, this.#quit.ask);
    process.on('SIGHUP', this.#hangUp);
    try {
      await this.#perform();
      await this.#finish();
    } finally {
      await this.#output?.stop();
      await this.#stopAll();
      for (const signal of signals) process.off(signal, this.#quit.ask);
      process.off('SIGHUP', this.#hangUp);
    }
  }

  async #perform(): Promise<void> {
    const { clock, random } = this.#context;
    const { folder, kafka, forMs, port } = this.#settings;
    const stage = await openStage({
      folder,
      port,
      kafka,
      clock,
      env: childEnvironment(this.#context),
      ask,
      onAsk: (name) => this.#show?.asking(name),
      onAnswer: (name) => this.#show?.answered(name),
      onUp: (name, again) => this.#show?.cameUp(name, again),
      onEnd: (name, end) => this.#show?.ended(name, end),
    });
    this.#stage = stage;
    const show = new Show(stage, {
      events: this.#events,
      clock,
      random,
      dialTo,
      steer: async (dataFolder, mirror, verb) => {
        await new ControlClient(dataFolder).steer(mirror, verb, {});
      },
      forMs,
    });
    this.#show = show;
    this.#output = this.#openOutput(show);
    this.#output.start();
    this.#announce(stage);
    await show.start(this.#quit.finish);
    this.#sayContinued(show);
    if (forMs !== undefined) clock.after(forMs, this.#quit.timeIsUp);
    await show.untilOver(this.#quit.finish);
  }

  #announce(stage: Stage): void {
    const { port } = stage.edge;
    const wanted = this.#settings.port;
    const taken = port === wanted ? '' : ` (${wanted} is taken)`;
    this.#events.say(`publish to it too: mqtt://127.0.0.1:${port}${taken}`);
    if (stage.kafka !== undefined) this.#events.say(`mirrored to Kafka at ${stage.kafka.join()}`);
  }

  #sayContinued(show: Show): void {
    if (!this.#settings.folder.continued) return;
    const before = sumOf(endsOf(show.stage.edge.watch.latest));
    this.#events.say(`goes on with an earlier run's data: ${plural(before, 'record')}`);
  }

  #openOutput(show: Show): Output {
    const { clock } = this.#context;
    const state = (): ReturnType<Show['state']> => show.state();
    if (isLive(this.#context)) {
      const paint = isColoured(this.#context) ? colours : noColours;
      return new LiveOutput({
        state,
        clock,
        paint,
        onKey: (key) => this.#press(key),
        onGone: () => this.#hangUp(),
      });
    }
    const print = (line: string): void => printLine(this.#context, line);
    return new PlainOutput({ state, clock, paint: noColours, print });
  }

  #press(key: string): void {
    if (key === 'q' || key === 'ctrl-c' || key === 'ctrl-d') this.#quit.ask();
    else if (!this.#quit.finish.aborted) this.#show?.press(key);
  }

  async #finish(): Promise<void> {
    const { hurry } = this.#quit;
    const show = this.#show;
    const stage = this.#stage;
    if (show === undefined || stage === undefined) return;
    if (!show.hasStarted) return this.#leaveEarly();
    await show.drain(hurry);
    show.notice = 'Stopping: the agents close their logs';
    await this.#stopAll();
    // Nobody waits for the report.
    if (this.#quit.abandoned || this.#hungUp) return;
    show.notice = 'Verifying: reading every record of both logs';
    const report = await judge({
      stage,
      show,
      clock: this.#context.clock,
      random: this.#context.random,
      logger: silentLogger,
    });
    await this.#output?.stop();
    const paint = isColoured(this.#context) ? colours : noColours;
    printLine(this.#context, '');
    for (const line of reportLines(report, paint)) printLine(this.#context, line);
    printLine(this.#context, '');
    for (const line of this.#farewell(stage)) printLine(this.#context, line);
    if (verdictOf(report) !== 'clean') this.#context.exitCode = 1;
  }

  /** Without a report there is nothing to call clean. */
  async #leaveEarly(): Promise<void> {
    await this.#output?.stop();
    if (this.#hungUp) return;
    printLine(this.#context, 'Stopped before the first reading: nothing to verify.');
    this.#context.exitCode = 1;
  }

  #farewell(stage: Stage): string[] {
    const { workingFolder } = this.#context;
    const nameOf = (folder: string): string => {
      const relative = path.relative(workingFolder, folder);
      return relative.startsWith('..') ? folder : relative || '.';
    };
    const ran = formatDuration(this.#show?.state().elapsedMs ?? 0);
    return [
      `Ran for ${ran}. The logs stay in ${nameOf(this.#settings.folder.root)}; the next run goes on with them.`,
      'To look at them:',
      `  npx gatelog consume telemetry --data ${nameOf(stage.edge.folder)}`,
    ];
  }

  /** Sensors, then the edge, then the centre, so that nothing in flight is cut off. */
  async #stopAll(): Promise<void> {
    await this.#show?.fleet.stop();
    await this.#show?.end();
    const stage = this.#stage;
    if (stage === undefined) return;
    for (const actor of [stage.edge, stage.central]) {
      if (actor === undefined) continue;
      await actor.watch.stop();
      const inTime = await actor.child.stop(STOP_MS);
      if (!inTime) this.#events.say(`the ${actor.name} did not stop in time and was killed`, 'bad');
    }
    await stage.link?.close();
  }

  #abandon(): void {
    this.#stage?.edge.child.abandon();
    this.#stage?.central?.child.abandon();
    this.#context.exitCode = ABANDONED;
  }
}

function isLive(context: CliContext): boolean {
  const terminal = context.stdout.isTTY === true && process.stdin.isTTY;
  return terminal && context.env['TERM'] !== 'dumb';
}

/** What the agents are started with: our own, without what a test runner or a debugger put there. */
function childEnvironment(context: CliContext): NodeJS.ProcessEnv {
  const { NODE_OPTIONS: _debugger, ...rest } = context.env;
  return rest;
}

function dialTo(port: number): Dial {
  return (clientId, signal) =>
    connectPublisher({ url: `mqtt://127.0.0.1:${port}`, clientId, ...DIAL }, signal);
}
