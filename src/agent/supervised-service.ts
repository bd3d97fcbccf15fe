import { SERVICE_LIMITS } from '../service-limits.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, kernelMonotonicUs, type Timer } from '../time.ts';
import { formatDuration } from '../units.ts';
import type { Agent } from './agent-types.ts';
import { glanceLine } from './glance.ts';
import type { ServiceManager } from './service-manager.ts';

export interface SupervisedServiceOptions {
  readonly manager: ServiceManager;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * What the service manager hears of an agent: that it starts, is ready, goes on, reloads, stops.
 *
 * The watchdog is tied to what matters. It is fed from the event loop, so a loop that stands feeds
 * nothing; and only while the disk answers: what the log and the state database were asked to write has
 * ended, well or not. A disk that is full or gone answers with an error and goes on being fed for; a sync
 * that never returns does not.
 */
export class SupervisedService {
  readonly #manager: ServiceManager;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #agent: Pick<Agent, 'glance' | 'answered'> | undefined;
  #timer: Timer | undefined;
  /** Since when the disk owes an answer. */
  #owedSinceMs: number | undefined;
  #stalled = false;
  #ended = false;

  constructor({ manager, clock, logger }: SupervisedServiceOptions) {
    this.#manager = manager;
    this.#clock = clock;
    this.#logger = logger;
  }

  /** Call before the agent starts: opening what is damaged may take longer than a start usually may. */
  starting(): void {
    const beganMs = this.#clock.monotonicMs();
    const { extendEveryMs, extendByMs, startMs } = SERVICE_LIMITS;
    const extend = (): void => {
      if (this.#clock.monotonicMs() - beganMs > startMs) return;
      void this.#manager.tell([
        `EXTEND_TIMEOUT_USEC=${extendByMs * 1000}`,
        'STATUS=starting: the log is opened',
      ]);
      this.#timer = this.#clock.after(extendEveryMs, extend);
    };
    this.#timer = this.#clock.after(extendEveryMs, extend);
  }

  /** Devices may connect; after a stop that was asked for meanwhile nobody is to know. */
  async ready(agent: Pick<Agent, 'glance' | 'answered'>): Promise<void> {
    if (this.#ended) return;
    this.#timer?.cancel();
    this.#agent = agent;
    await this.#manager.tell(['READY=1', ...this.#feed(agent)]);
    this.#later(agent);
  }

  /** Around a reload, whoever asked for it. */
  async reloading(reload: () => Promise<void>): Promise<void> {
    const agent = this.#agent;
    if (agent === undefined || this.#ended) return reload();
    const told = this.#manager.tell([
      'RELOADING=1',
      `MONOTONIC_USEC=${kernelMonotonicUs()}`,
      'STATUS=reloading',
    ]);
    await reload();
    await told;
    if (!this.#ended) await this.#manager.tell(['READY=1', ...this.#feed(agent)]);
  }

  stopping(why: string): void {
    this.#ended = true;
    this.#timer?.cancel();
    void this.#manager.tell(['STOPPING=1', `STATUS=stopping (${why})`]);
  }

  #later(agent: Pick<Agent, 'glance' | 'answered'>): void {
    const { watchdogMs } = this.#manager;
    const { statusEveryMs, watchdogFeeds } = SERVICE_LIMITS;
    const everyMs = watchdogMs === undefined ? statusEveryMs : watchdogMs / watchdogFeeds;
    this.#timer = this.#clock.after(everyMs, () => {
      if (this.#ended) return;
      void this.#manager.tell(this.#feed(agent));
      this.#later(agent);
    });
  }

  /** What there is to say at present; with the watchdog's food, if there is reason. */
  #feed(agent: Pick<Agent, 'glance' | 'answered'>): string[] {
    const { watchdogMs } = this.#manager;
    const now = this.#clock.monotonicMs();
    const owedMs = this.#owedSinceMs === undefined ? 0 : now - this.#owedSinceMs;
    if (this.#owedSinceMs === undefined) void this.#ask(agent, now);
    const status = `STATUS=${glanceLine(agent.glance())}`;
    if (watchdogMs === undefined) return [status];
    if (owedMs <= watchdogMs * SERVICE_LIMITS.stallShare) return ['WATCHDOG=1', status];
    const forText = formatDuration(owedMs);
    if (!this.#stalled) {
      this.#stalled = true;
      this.#logger.error(
        { event: 'service.stalled', owedMs },
        `the disk has not answered a write for ${forText}: the watchdog is not fed until it does, and ` +
          `the service manager restarts the agent`,
      );
    }
    return [`STATUS=the disk has not answered for ${forText}`];
  }

  async #ask(agent: Pick<Agent, 'answered'>, now: number): Promise<void> {
    this.#owedSinceMs = now;
    await agent.answered();
    this.#owedSinceMs = undefined;
    if (!this.#stalled) return;
    this.#stalled = false;
    this.#logger.info({ event: 'service.unstalled' }, 'the disk answers again');
  }
}
