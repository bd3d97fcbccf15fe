import { rmdir } from 'node:fs/promises';
import { startControlServer } from '../admin/control-server.ts';
import { standInFolder } from '../admin/socket-path.ts';
import type { AgentStatus } from '../admin/status.ts';
import { GatelogError, messageOf, type ErrorCode } from '../errors.ts';
import { LIMITS } from '../limits.ts';
import { isoTime, type Timer } from '../time.ts';
import { memoryStatus } from './agent-status.ts';
import type { Agent, AgentSurroundings } from './agent-types.ts';
import { startBroker, type Broker } from './broker.ts';
import { defaultTopicOptions } from './config-schema.ts';
import type { Config } from './config-types.ts';
import { IngestGate } from './ingest.ts';
import { NO_COUNTERS, NO_LEDGER, NO_READER, NoLogWriter } from './no-store.ts';
import { StopStack } from './stop-stack.ts';

/** What may pass by itself, so that serving without a log is better than not at all. */
const PASSING: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'STORE_READ_ONLY',
  'STORE_FULL',
  'STORE_FAILING',
  'STORE_MISSING',
]);

export function mayPass(error: unknown): error is GatelogError {
  return error instanceof GatelogError && PASSING.has(error.code);
}

/** Starts the agent with a log. Throws what stands in the way. */
export type StartWhole = (config: Config, surroundings: AgentSurroundings) => Promise<Agent>;

/**
 * An agent whose data folder can't be opened. It serves devices and subscribers without a log:
 * what no route wants is delivered as always; of what belongs into the log QoS 0 is delivered live,
 * and QoS 1 and 2 are not acknowledged, so that devices keep it. It tries the folder again and again,
 * and becomes a whole agent by itself; its connections end then, as at a restart.
 */
export class LiveAgent implements Agent {
  readonly #surroundings: AgentSurroundings;
  readonly #startWhole: StartWhole;
  readonly #startedMs: number;
  readonly #startedMonotonicMs: number;
  #config: Config;
  #reason: GatelogError;
  #broker: Broker | undefined;
  #stack: StopStack;
  #whole: Agent | undefined;
  #timer: Timer | undefined;
  #waitMs: number = LIMITS.storeRetryFirstMs;
  #trying: Promise<void> = Promise.resolve();
  #stopped: Promise<boolean> | undefined;

  private constructor(
    config: Config,
    surroundings: AgentSurroundings,
    reason: GatelogError,
    startWhole: StartWhole,
  ) {
    const { clock, logger } = surroundings;
    this.#config = config;
    this.#surroundings = surroundings;
    this.#reason = reason;
    this.#startWhole = startWhole;
    this.#startedMs = clock.nowMs();
    this.#startedMonotonicMs = clock.monotonicMs();
    this.#stack = new StopStack(clock, logger);
  }

  static async start(
    config: Config,
    surroundings: AgentSurroundings,
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
      incarnation: '',
      degraded: this.#reason.message,
      data,
      pid: process.pid,
      startedAt: isoTime(this.#startedMs),
      uptimeMs: Math.round(clock.monotonicMs() - this.#startedMonotonicMs),
      memory: memoryStatus(),
      listeners: this.addresses(),
      ingest: this.#broker?.counters() ?? null,
      store: NO_COUNTERS,
      wear: null,
      clock: null,
      topics: [],
      mirrors: [],
    };
  }

  stop(): Promise<boolean> {
    this.#stopped ??= this.#stop();
    return this.#stopped;
  }

  async #stop(): Promise<boolean> {
    this.#timer?.cancel();
    await this.#trying;
    return this.#whole === undefined ? this.#stack.stop() : this.#whole.stop();
  }

  async #serve(): Promise<void> {
    const { clock, logger } = this.#surroundings;
    logger.error(
      { event: 'agent.degraded', code: this.#reason.code },
      `serving without a log, nothing that belongs into it is acknowledged: ${this.#reason.message}`,
    );
    const stack = new StopStack(clock, logger);
    this.#stack = stack;
    try {
      await this.#startControl(stack);
      this.#broker = await this.#startBroker();
    } catch (error) {
      await stack.stop();
      throw error;
    }
    const broker = this.#broker;
    stack.push('the broker', () => broker.stop());
    // Port 0 was any; those who know it by now find it again.
    this.#config = {
      ...this.#config,
      mqtt: { ...this.#config.mqtt, listen: broker.addresses() },
    };
  }

  #startBroker(): Promise<Broker> {
    const { clock, logger } = this.#surroundings;
    const { mqtt, routes, topics } = this.#config;
    const gate = new IngestGate({
      writer: new NoLogWriter(this.#reason),
      ledger: NO_LEDGER,
      clock,
      logger,
      routes,
      topics,
      defaultTopic: defaultTopicOptions(),
      central: mqtt.central,
    });
    return startBroker({ ...mqtt, gate, clock, logger });
  }

  /** Not in the data folder, which can't be written. Without one only the status can't be asked for. */
  async #startControl(stack: StopStack): Promise<void> {
    const { logger } = this.#surroundings;
    try {
      const folder = await standInFolder(this.#config.data);
      stack.push('the folder of the control socket', () => rmdir(folder));
      const control = await startControlServer({
        dataFolder: folder,
        reader: NO_READER,
        ledger: NO_LEDGER,
        mirrors: new Map(),
        forgetMirror: () => Promise.reject(this.#reason),
        status: () => this.status(),
        logger,
      });
      stack.push('the control socket', () => control.stop());
    } catch (error) {
      logger.warn({ error: messageOf(error) }, 'the status can not be asked for');
    }
  }

  #later(): void {
    this.#timer = this.#surroundings.clock.after(this.#waitMs, () => {
      this.#trying = this.#try();
    });
    this.#waitMs = Math.min(this.#waitMs * 2, LIMITS.storeRetryMaxMs);
  }

  /** Never rejects. */
  async #try(): Promise<void> {
    const { logger } = this.#surroundings;
    let served = true;
    const beforeServing = async (): Promise<void> => {
      served = false;
      await this.#stack.stop();
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
