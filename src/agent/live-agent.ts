import { byFile } from '../admin/certificate-status.ts';
import type { OperationsOptions } from '../admin/operations.ts';
import type { ReloadStatus } from '../admin/reload-status.ts';
import type { AgentStatus } from '../admin/status.ts';
import { GatelogError, messageOf, type ErrorCode } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { isoTime, type Timer } from '../time.ts';
import { memoryStatus } from './agent-status.ts';
import type { Agent, AgentSurroundings, NotedSurroundings } from './agent-types.ts';
import { startBroker, type Broker } from './broker.ts';
import { keptKeysIn } from './broker-options.ts';
import { startStandIn } from './control.ts';
import { defaultTopicOptions } from './config-schema.ts';
import type { Config } from './config-types.ts';
import type { Glance } from './glance.ts';
import { HeldLosses } from './held-losses.ts';
import { type HttpSide, startHttp } from './http-side.ts';
import { IngestGate } from './ingest.ts';
import { NO_LEDGER, NO_READER, NoLogWriter } from './no-store.ts';
import { startOtlp } from './otlp-teller.ts';
import { Reloader } from './reloader.ts';
import { StopStack } from './stop-stack.ts';

/** What may pass by itself, so that serving without a log is better than not at all. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'STORE_READ_ONLY',
  'STORE_FULL',
  'STORE_FAILING',
  // Of a first write, as of the positions of a new mirror.
  'STORE_WRITE_FAILED',
  'STORE_MISSING',
  'STORE_SUSPECT',
]);

export function mayPass(error: unknown): error is GatelogError {
  return error instanceof GatelogError && PASSING.has(error.code);
}

/** Starts the agent with a log. Throws what stands in the way. */
export type StartWhole = (config: Config, surroundings: NotedSurroundings) => Promise<Agent>;

/**
 * An agent whose data folder can't be opened. It serves devices and subscribers without a log:
 * what no route wants is delivered as always; of what belongs into the log QoS 0 is delivered live,
 * and QoS 1 and 2 are not acknowledged, so that devices keep it. It tries the folder again and again,
 * and becomes a whole agent by itself; its connections end then, as at a restart.
 */
export class LiveAgent implements Agent {
  readonly #surroundings: NotedSurroundings;
  readonly #startWhole: StartWhole;
  /** Dropped messages, until there is a ledger. */
  readonly #held: HeldLosses;
  readonly #reloader: Reloader;
  readonly #startedMs: number;
  readonly #startedMonotonicMs: number;
  #config: Config;
  #reason: GatelogError;
  #broker: Broker | undefined;
  #http: HttpSide | undefined;
  #stack: StopStack;
  #whole: Agent | undefined;
  #timer: Timer | undefined;
  #waitMs: number = LIMITS.storeRetryFirstMs;
  #trying: Promise<void> = Promise.resolve();
  #stopped: Promise<boolean> | undefined;

  private constructor(
    config: Config,
    surroundings: NotedSurroundings,
    reason: GatelogError,
    startWhole: StartWhole,
  ) {
    const { clock, logger } = surroundings;
    this.#config = config;
    this.#surroundings = surroundings;
    this.#reason = reason;
    this.#startWhole = startWhole;
    this.#held = new HeldLosses(clock);
    this.#startedMs = clock.nowMs();
    this.#startedMonotonicMs = clock.monotonicMs();
    this.#stack = new StopStack(clock, logger);
    this.#reloader = new Reloader({
      source: surroundings.configSource,
      live: { canChange: () => false, change: () => Promise.resolve() },
      lookAtFiles: async () => {
        await Promise.all([this.#broker?.lookAtFiles(), this.#http?.look()]);
      },
      around: surroundings.aroundReload,
      clock,
      logger,
    });
  }

  static async start(
    config: Config,
    surroundings: NotedSurroundings,
    reason: GatelogError,
    startWhole: StartWhole,
  ): Promise<LiveAgent> {
    const agent = new LiveAgent(config, surroundings, reason, startWhole);
    await agent.#serve();
    agent.#later();
    return agent;
  }

  addresses(): readonly string[] {
    return this.#whole?.addresses() ?? this.#broker?.addresses() ?? [];
  }

  async status(): Promise<AgentStatus> {
    if (this.#whole !== undefined) return this.#whole.status();
    const { clock, version } = this.#surroundings;
    const { gateway, data } = this.#config;
    return {
      version,
      gateway,
      gatewayAssumed: false,
      incarnation: '',
      degraded: this.#reason.message,
      degradedCode: this.#reason.code,
      data,
      pid: process.pid,
      startedAt: isoTime(this.#startedMs),
      uptimeMs: Math.round(clock.monotonicMs() - this.#startedMonotonicMs),
      memory: memoryStatus(),
      listeners: this.addresses(),
      http: this.#http?.status() ?? { listeners: [], trouble: null },
      certificates: byFile([
        ...(this.#broker?.certificates() ?? []),
        ...(this.#http?.certificates() ?? []),
      ]),
      accessFiles: this.#broker?.accessFiles() ?? [],
      ingest: this.#broker?.counters() ?? null,
      store: null,
      wear: null,
      clock: null,
      topics: [],
      mirrors: [],
      reload: this.#reloader.status,
    };
  }

  glance(): Glance {
    if (this.#whole !== undefined) return this.#whole.glance();
    return {
      degraded: this.#reason.message,
      trouble: null,
      connections: this.#broker?.counters().connections ?? 0,
      mirrors: [],
      needsRestart: this.#reloader.needsRestart,
    };
  }

  /** Without a log nothing is waited for: that the disk does not answer is known, and no restart mends it. */
  async answered(): Promise<void> {
    await this.#whole?.answered();
  }

  /** Without a log nothing of the configuration changes but by a restart. */
  reload(): Promise<ReloadStatus> {
    return (this.#whole ?? this.#reloader).reload();
  }

  stop(): Promise<boolean> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  /** A start under way can't be called off: it is waited for within the bound, and then undone. */
  async #stop(): Promise<boolean> {
    const { clock, logger } = this.#surroundings;
    this.#timer?.cancel();
    let clean = true;
    const stack = new StopStack(clock, logger);
    stack.push('the agent', async () => {
      clean = await (this.#whole ?? this.#stack).stop();
    });
    stack.push('a start under way', () => this.#trying);
    const stopped = (await stack.stop()) && clean;
    const { records } = this.#held;
    if (records > 0) {
      logger.error(
        { event: 'agent.untold', records },
        `${records} messages that nobody sends again came while there was no log, and no ledger could be told of them`,
      );
    }
    return stopped;
  }

  async #serve(): Promise<void> {
    const { clock, logger } = this.#surroundings;
    logger.error(
      { event: 'agent.degraded', code: this.#reason.code },
      `serving without a log, nothing that belongs into it is acknowledged, who wants a session that lasts ` +
        `is refused, and retained messages are kept in memory only: ${this.#reason.message}`,
    );
    const stack = new StopStack(clock, logger);
    this.#stack = stack;
    try {
      await this.#startControl(stack);
      this.#broker = await this.#startBroker(stack);
    } catch (error) {
      await stack.stop();
      throw error;
    }
    const broker = this.#broker;
    stack.push('the broker', () => broker.stop());
    // Port 0 was any; those who know it by now find it again.
    const { mqtt } = this.#config;
    const taken = broker.addresses();
    const listen = mqtt.listen.map((each, at) => ({ ...each, url: taken[at] ?? each.url }));
    this.#config = { ...this.#config, mqtt: { ...mqtt, listen } };
  }

  #startBroker(stack: StopStack): Promise<Broker> {
    const { clock, logger, version } = this.#surroundings;
    const { mqtt, routes, topics } = this.#config;
    const gate = new IngestGate({
      writer: new NoLogWriter(this.#reason),
      ledger: this.#held,
      clock,
      logger,
      routes,
      topics,
      defaultTopic: defaultTopicOptions(),
      central: mqtt.central,
    });
    stack.push('the counts of dropped messages', () => gate.close());
    const keptKeys = { ...keptKeysIn(this.#config.data), isReadOnly: true };
    return startBroker({ ...mqtt, version, isStandIn: true, keptKeys, gate, clock, logger });
  }

  /** Not in the data folder, which can't be written. */
  async #startControl(stack: StopStack): Promise<void> {
    const { logger } = this.#surroundings;
    const options: OperationsOptions = {
      reader: NO_READER,
      ledger: NO_LEDGER,
      mirrors: new Map(),
      forgetMirror: () => Promise.reject(this.#reason),
      exportMirror: () => Promise.reject(this.#reason),
      status: () => this.status(),
      clients: (atMost) => this.#broker?.clients(atMost) ?? { total: 0, clients: [] },
      unavailable: () => this.#reason,
      logger,
    };
    const reload = (): Promise<ReloadStatus> => this.reload();
    await startStandIn({ dataFolder: this.#config.data, ...options, reload }, stack);
    const isOpen = (): boolean => this.#broker?.isOpen() ?? false;
    const parts = { ...this.#surroundings, isOpen };
    this.#http = await startHttp(this.#config, options, parts, stack);
    startOtlp(this.#config, { ...parts, status: () => this.status() }, stack);
  }

  #later(): void {
    // Looking into it takes as long as it takes: nothing is gained by waiting before.
    if (this.#reason.code === 'STORE_SUSPECT') this.#waitMs = 0;
    this.#timer = this.#surroundings.clock.after(this.#waitMs, () => {
      this.#trying = this.#try();
    });
    this.#waitMs = Math.min(
      Math.max(this.#waitMs * 2, LIMITS.storeRetryFirstMs),
      LIMITS.storeRetryMaxMs,
    );
  }

  /** Never rejects. */
  async #try(): Promise<void> {
    const { logger } = this.#surroundings;
    let served = true;
    const beforeServing: AgentSurroundings['beforeServing'] = async (ledger) => {
      served = false;
      await this.#stack.stop();
      await this.#held.into(ledger);
    };
    try {
      this.#whole = await this.#startWhole(this.#config, { ...this.#surroundings, beforeServing });
      logger.info({ event: 'agent.whole' }, 'the log is open: everything is acknowledged again');
      return;
    } catch (error) {
      const told = error instanceof GatelogError ? error : undefined;
      const isNews = told?.message !== this.#reason.message;
      if (told !== undefined) this.#reason = told;
      if (isNews) logger.error({ error: messageOf(error) }, 'the log can not be opened');
    }
    try {
      if (!served) await this.#serve();
    } catch (error) {
      logger.error({ error: messageOf(error) }, 'devices can not be served; this is tried again');
    }
    if (this.#stopped === undefined) this.#later();
  }
}
