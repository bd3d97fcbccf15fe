import { EventBook, notingLogger } from '../admin/event-book.ts';
import { byFile } from '../admin/certificate-status.ts';
import type { OperationsOptions } from '../admin/operations.ts';
import type { AgentStatus, HttpStatus } from '../admin/status.ts';
import type { ReloadStatus } from '../admin/reload-status.ts';
import { believedClock, type ClockTrust } from '../clock-trust.ts';
import type { Mirror } from '../mirror/mirror.ts';
import type { Store, StoreIdentity } from '../store/log.ts';
import { openStore } from '../store/open.ts';
import type { Logger } from '../telemetry.ts';
import { isoTime } from '../time.ts';
import type { Agent, AgentSurroundings, NotedSurroundings } from './agent-types.ts';
import { describeTopics, memoryStatus } from './agent-status.ts';
import { type Broker, startBroker } from './broker.ts';
import { keptKeysIn } from './broker-options.ts';
import { trustOf } from './clock-sources.ts';
import { startControl } from './control.ts';
import { type HttpSide, startHttp } from './http-side.ts';
import { defaultTopicOptions } from './config-schema.ts';
import type { Config } from './config-types.ts';
import type { Glance } from './glance.ts';
import { Exports } from './mirror-exports.ts';
import { IngestGate } from './ingest.ts';
import { KnownMirrors } from './known-mirrors.ts';
import { LiveAgent, mayPass } from './live-agent.ts';
import { LiveMirrors } from './mirrors-live.ts';
import { LiveSettings } from './live-settings.ts';
import { startOtlp } from './otlp-teller.ts';
import { Reloader } from './reloader.ts';
import { StopStack } from './stop-stack.ts';
import { wearBudgetOf } from './wear-budget.ts';
import { kernelSource } from './wear-files.ts';
import { WearMeter } from './wear-meter.ts';

/**
 * The agent; without a log where its data folder can't be written and the configuration does not
 * want it to end then.
 */
export async function startAgent(config: Config, given: AgentSurroundings): Promise<Agent> {
  const events = new EventBook(given.clock);
  const surroundings = { ...given, events, logger: notingLogger(given.logger, events) };
  try {
    return await startWhole(config, surroundings);
  } catch (error) {
    if (config.store.whenUnavailable === 'exit' || !mayPass(error)) throw error;
    return LiveAgent.start(config, surroundings, error, startWhole);
  }
}

/**
 * The composition root: store → mirrors → control socket → broker, in that order, so that devices
 * are let in when everything behind them stands; and back in reverse. An upstream that is down
 * delays nothing. When a step fails, those before it are undone and its error is thrown.
 */
async function startWhole(config: Config, surroundings: NotedSurroundings): Promise<Agent> {
  const stack = new StopStack(surroundings.clock, surroundings.logger);
  try {
    return await buildAgent(config, surroundings, stack);
  } catch (error) {
    await stack.stop();
    throw error;
  }
}

async function buildAgent(
  asked: Config,
  surroundings: NotedSurroundings,
  stack: StopStack,
): Promise<Agent> {
  const { clock, random, logger } = surroundings;
  const trust = await startTrust(asked, surroundings, stack);
  const budget = wearBudgetOf(asked.store);
  const lingerMs = (): number => budget?.lingerMs() ?? asked.store.lingerMs;
  const store = await openStore({
    folder: asked.data,
    ...asked.store,
    lingerMs,
    gateway: asked.gateway,
    gatewayGiven: asked.gatewayGiven,
    adopt: surroundings.adopt ?? false,
    // Who serves devices already has time.
    patient: surroundings.beforeServing !== undefined || asked.store.whenUnavailable === 'exit',
    clock,
    trust,
    random,
    logger,
  });
  stack.push('the store', () => store.close());
  const config = ofFolder(asked, store.identity, logger);
  const wear = await WearMeter.start({
    source: await kernelSource(config.data),
    space: store.keyValue('wear'),
    counters: () => store.counters(),
    budget,
    lingerMs,
    ...config.store.wear,
    clock,
    logger,
  });
  stack.push('the wear meter', () => wear.stop());
  const gate = startGate(config, store, surroundings, stack);
  const known = await KnownMirrors.load(store, Object.keys(config.mirrors));
  known.warn(logger);
  const believed = { clock: believedClock(clock, trust), isClockSound: () => trust.isSound() };
  const live = new LiveMirrors({ ...believed, config, store, random, logger, known });
  stack.push('the mirrors', () => live.stop());
  await live.start();
  await surroundings.beforeServing?.(store.ledger);
  const exports = new Exports(() => live.config, store, clock);
  const agent = new RunningAgent(config, surroundings, { store, live, wear, stack, trust });
  const operations: OperationsOptions = {
    reader: store.reader,
    ledger: store.ledger,
    mirrors: live.mirrors,
    forgetMirror: (name) => known.forget(name),
    exportMirror: exports.begin.bind(exports),
    status: () => agent.status(),
    clients: (atMost) => agent.broker?.clients(atMost) ?? { total: 0, clients: [] },
    logger,
  };
  const reload = (): Promise<ReloadStatus> => agent.reload();
  await startControl({ dataFolder: config.data, ...operations, reload }, clock, stack);
  const isOpen = (): boolean => agent.broker?.isOpen() ?? false;
  agent.http = await startHttp(config, operations, { ...surroundings, isOpen }, stack);
  const telling = { ...surroundings, status: () => agent.status() };
  await startTelling(config, store, telling, stack);
  startOtlp(config, telling, stack);
  agent.broker = await brokerOf(config, { store, gate, trust }, surroundings);
  const { broker } = agent;
  stack.push('the broker', () => broker.stop());
  stack.push('a reload', () => agent.endReloads());
  trust.announce();
  return agent;
}

/** Loaded where it is asked for. */
async function startTelling(
  { metrics: { intervalMs }, gateway }: Config,
  { writer }: Store,
  parts: NotedSurroundings & Pick<OperationsOptions, 'status'>,
  stack: StopStack,
): Promise<void> {
  if (intervalMs === undefined) return;
  const { HealthTeller } = await import('./health-teller.ts');
  const { events, status, clock, logger } = parts;
  const logged = (): ReturnType<EventBook['counts']> => events.counts();
  const teller = new HealthTeller({ intervalMs, gateway, writer, status, logged, clock, logger });
  teller.start();
  stack.push('the metrics of the fleet', () => teller.stop());
}

/** Sessions stand in the state database; what they queue refers into the log. */
function brokerOf(
  { mqtt, data }: Config,
  {
    store,
    gate,
    trust,
  }: { readonly store: Store; readonly gate: IngestGate; readonly trust: ClockTrust },
  { clock, random, logger, version }: AgentSurroundings,
): Promise<Broker> {
  const { reader } = store;
  const isClockSound = (): boolean => trust.isSound();
  const keep = { space: store.keyValue('sessions'), reader, random, isClockSound };
  const around = { version, clock, logger };
  return startBroker({ ...mqtt, keptKeys: keptKeysIn(data), gate, keep, ...around });
}

/** Ends after the broker and the mirrors, and before the store: with the last counts. */
function startGate(
  { gateway, routes, topics, mqtt }: Config,
  { writer, ledger, identity }: Store,
  { clock, logger }: AgentSurroundings,
  stack: StopStack,
): IngestGate {
  const { central } = mqtt;
  const defaultTopic = defaultTopicOptions();
  const own = { gateway, incarnation: identity.incarnation };
  const parts = { writer, ledger, clock, logger, own };
  const gate = new IngestGate({ ...parts, routes, topics, defaultTopic, central });
  stack.push('the counts of dropped messages', () => gate.close());
  return gate;
}

/** A host that got another name is the same gateway. */
function ofFolder(config: Config, { gateway }: StoreIdentity, logger: Logger): Config {
  if (gateway === undefined || gateway === config.gateway) return config;
  logger.warn(
    { event: 'agent.gateway', gateway, host: config.gateway },
    `this is gateway ${gateway}, as its data folder knows it, though the host is ${config.gateway} now`,
  );
  return { ...config, gateway };
}

/** Before anything is written: so that the first commit knows whether its clock is right. */
async function startTrust(
  config: Config,
  surroundings: AgentSurroundings,
  stack: StopStack,
): Promise<ClockTrust> {
  const trust = trustOf(config.clock, surroundings);
  stack.push('the clock', () => Promise.resolve(trust.stop()));
  await trust.start();
  return trust;
}

interface AgentParts {
  readonly store: Store;
  readonly wear: WearMeter;
  readonly live: LiveMirrors;
  readonly stack: StopStack;
  readonly trust: ClockTrust;
}

const NO_HTTP_YET: HttpStatus = { listeners: [], trouble: null };

class RunningAgent implements Agent {
  readonly #config: Config;
  readonly #surroundings: AgentSurroundings;
  readonly #parts: AgentParts;
  readonly #startedMs: number;
  readonly #startedMonotonicMs: number;
  /** Comes last; until then the status has no listeners. */
  broker: Broker | undefined;
  http: HttpSide | undefined;
  readonly #reloader: Reloader;

  constructor(config: Config, surroundings: AgentSurroundings, parts: AgentParts) {
    this.#config = config;
    this.#surroundings = surroundings;
    this.#parts = parts;
    this.#startedMs = surroundings.clock.nowMs();
    this.#startedMonotonicMs = surroundings.clock.monotonicMs();
    const { clock, logger, configSource, setLogLevel, aroundReload: around } = surroundings;
    const live = new LiveSettings({
      config,
      writer: parts.store.writer,
      broker: () => this.broker,
      changeHttp: async (http) => this.http?.change(http),
      changeMirrors: (names, next) => parts.live.change(names, next),
      setLogLevel,
    });
    const lookAtFiles = async (): Promise<void> => {
      await Promise.all([this.broker?.lookAtFiles(), this.http?.look()]);
    };
    const options = { source: configSource, live, lookAtFiles, around, clock, logger };
    this.#reloader = new Reloader(options);
  }

  addresses(): readonly string[] {
    return this.broker?.addresses() ?? [];
  }

  async status(): Promise<AgentStatus> {
    const { clock, version } = this.#surroundings;
    const { store, wear, trust } = this.#parts;
    const { gateway, data } = this.#config;
    return {
      version,
      gateway,
      gatewayAssumed: store.identity.gatewayAssumed ?? false,
      incarnation: store.identity.incarnation,
      degraded: null,
      degradedCode: null,
      data,
      pid: process.pid,
      startedAt: isoTime(this.#startedMs),
      uptimeMs: Math.round(clock.monotonicMs() - this.#startedMonotonicMs),
      memory: memoryStatus(),
      clock: trust.status(),
      listeners: this.addresses(),
      http: this.http?.status() ?? NO_HTTP_YET,
      certificates: byFile([
        ...(this.broker?.certificates() ?? []),
        ...(this.http?.certificates() ?? []),
      ]),
      accessFiles: this.broker?.accessFiles() ?? [],
      ingest: this.broker?.counters() ?? null,
      store: await store.measured(),
      wear: await wear.measure(),
      topics: describeTopics(store.reader),
      mirrors: await Promise.all(this.#mirrors.map((mirror) => mirror.measure())),
      reload: this.#reloader.status,
    };
  }

  glance(): Glance {
    return {
      degraded: null,
      trouble: this.#parts.store.counters().trouble,
      connections: this.broker?.counters().connections ?? 0,
      mirrors: this.#mirrors.map((mirror) => mirror.status()),
      needsRestart: this.#reloader.needsRestart,
    };
  }

  answered(): Promise<void> {
    return this.#parts.store.answered();
  }

  reload(): Promise<ReloadStatus> {
    return this.#reloader.reload();
  }

  /** None begins any more, and what one waits for is not waited for. */
  endReloads(): Promise<void> {
    this.#parts.live.aboutToStop();
    return this.#reloader.stop();
  }

  stop(): Promise<boolean> {
    return this.#parts.stack.stop();
  }

  get #mirrors(): Mirror[] {
    return [...this.#parts.live.mirrors.values()];
  }
}
