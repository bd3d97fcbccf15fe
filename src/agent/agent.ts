import type { AgentStatus } from '../admin/status.ts';
import { believedClock, type ClockTrust } from '../clock-trust.ts';
import type { Mirror } from '../mirror/mirror.ts';
import type { Store, StoreIdentity } from '../store/log.ts';
import { openStore } from '../store/open.ts';
import type { Logger } from '../telemetry.ts';
import { isoTime } from '../time.ts';
import type { Agent, AgentSurroundings } from './agent-types.ts';
import { describeTopics, memoryStatus } from './agent-status.ts';
import { startBroker } from './broker.ts';
import type { Broker } from './broker.ts';
import { trustOf } from './clock-sources.ts';
import { startControl } from './control.ts';
import { defaultTopicOptions } from './config-schema.ts';
import type { Config } from './config-types.ts';
import { Exports } from './mirror-exports.ts';
import { IngestGate } from './ingest.ts';
import { KnownMirrors } from './known-mirrors.ts';
import { LiveAgent, mayPass } from './live-agent.ts';
import { buildMirrors } from './mirrors.ts';
import { StopStack } from './stop-stack.ts';
import { wearBudgetOf } from './wear-budget.ts';
import { kernelSource } from './wear-files.ts';
import { WearMeter } from './wear-meter.ts';

/**
 * The agent; without a log where its data folder can't be written and the configuration does not
 * want it to end then.
 */
export async function startAgent(config: Config, surroundings: AgentSurroundings): Promise<Agent> {
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
async function startWhole(config: Config, surroundings: AgentSurroundings): Promise<Agent> {
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
  surroundings: AgentSurroundings,
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
  const mirrors = await buildMirrors(config, { store, ...believed, random, logger });
  stack.push('the mirrors', () => stopMirrors(mirrors));
  for (const mirror of mirrors.values()) await mirror.start();
  await surroundings.beforeServing?.(store.ledger);
  const exports = new Exports(config, store, clock);
  const agent = new RunningAgent(config, surroundings, { store, mirrors, wear, stack, trust });
  await startControl(
    {
      dataFolder: config.data,
      reader: store.reader,
      ledger: store.ledger,
      mirrors,
      forgetMirror: (name) => known.forget(name),
      exportMirror: exports.begin.bind(exports),
      status: () => agent.status(),
      logger,
    },
    clock,
    stack,
  );
  agent.broker = await startBroker({ ...config.mqtt, gate, clock, logger });
  const { broker } = agent;
  stack.push('the broker', () => broker.stop());
  trust.announce();
  return agent;
}

/** Ends after the broker and the mirrors, and before the store: with the last counts. */
function startGate(
  { routes, topics, mqtt }: Config,
  { writer, ledger }: Store,
  { clock, logger }: AgentSurroundings,
  stack: StopStack,
): IngestGate {
  const { central } = mqtt;
  const defaultTopic = defaultTopicOptions();
  const parts = { writer, ledger, clock, logger };
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

/** Side by side: each waits for its far side. */
async function stopMirrors(mirrors: ReadonlyMap<string, Mirror>): Promise<void> {
  await Promise.all([...mirrors.values()].map((mirror) => mirror.stop()));
}

interface AgentParts {
  readonly store: Store;
  readonly wear: WearMeter;
  readonly mirrors: ReadonlyMap<string, Mirror>;
  readonly stack: StopStack;
  readonly trust: ClockTrust;
}

class RunningAgent implements Agent {
  readonly #config: Config;
  readonly #surroundings: AgentSurroundings;
  readonly #parts: AgentParts;
  readonly #startedMs: number;
  readonly #startedMonotonicMs: number;
  /** Comes last; until then the status has no listeners. */
  broker: Broker | undefined;

  constructor(config: Config, surroundings: AgentSurroundings, parts: AgentParts) {
    this.#config = config;
    this.#surroundings = surroundings;
    this.#parts = parts;
    this.#startedMs = surroundings.clock.nowMs();
    this.#startedMonotonicMs = surroundings.clock.monotonicMs();
  }

  addresses(): readonly string[] {
    return this.broker?.addresses() ?? [];
  }

  async status(): Promise<AgentStatus> {
    const { clock, version } = this.#surroundings;
    const { store, mirrors, wear, trust } = this.#parts;
    const { gateway, data } = this.#config;
    return {
      version,
      gateway,
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
      ingest: this.broker?.counters() ?? null,
      store: await store.measured(),
      wear: await wear.measure(),
      topics: describeTopics(store.reader),
      mirrors: await Promise.all([...mirrors.values()].map((mirror) => mirror.measure())),
    };
  }

  stop(): Promise<boolean> {
    return this.#parts.stack.stop();
  }
}
