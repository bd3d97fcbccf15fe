import type { EventBook } from '../admin/event-book.ts';
import type { OtlpExporter } from '../admin/otlp-exporter.ts';
import { processFigures } from '../admin/process-figures.ts';
import type { AgentStatus } from '../admin/status.ts';
import { messageOf } from '../errors.ts';
import { OTLP_LIMITS } from '../otlp-limits.ts';
import type { Logger } from '../telemetry.ts';
import { type Clock, type Timer, untilBeat } from '../time.ts';
import type { Config, OtlpConfig } from './config-types.ts';
import type { StopStack } from './stop-stack.ts';

export interface OtlpTellerOptions {
  readonly config: OtlpConfig;
  readonly status: () => Promise<AgentStatus>;
  readonly events: Pick<EventBook, 'counts'>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Sends the metrics to a collector of OpenTelemetry at every interval. One export at a time, and what does not get
 * through is not kept: the next one says more. What sends takes 9 MB, and is loaded when the first is due.
 */
export class OtlpTeller {
  readonly #options: OtlpTellerOptions;
  #exporter: OtlpExporter | undefined;
  readonly #startMs: number;
  #timer: Timer | undefined;
  #stopped = false;
  /** The last one did not get through: that was said. */
  #failed = false;

  constructor(options: OtlpTellerOptions) {
    this.#options = options;
    this.#startMs = options.clock.nowMs();
  }

  start(): void {
    this.#later(Math.min(OTLP_LIMITS.firstMs, this.#options.config.intervalMs));
  }

  /** An export under way is left alone: nobody waits for a collector. */
  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
  }

  #later(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(delayMs, () => void this.#tell());
  }

  /** Never rejects. */
  async #tell(): Promise<void> {
    const { clock, config, logger } = this.#options;
    const { url, intervalMs } = config;
    try {
      await this.#send();
      if (this.#failed) {
        logger.info({ event: 'otlp.sent', url }, `the collector at ${url} takes metrics again`);
      }
      this.#failed = false;
    } catch (error) {
      if (!this.#failed && !this.#stopped) {
        const why = messageOf(error);
        logger.warn(
          { event: 'otlp.unsent', url, error: why },
          `the collector at ${url} did not take the metrics: ${why}; it is tried at every interval`,
        );
      }
      this.#failed = true;
    }
    this.#later(untilBeat(clock, intervalMs));
  }

  async #send(): Promise<void> {
    const { status, events, clock, config } = this.#options;
    this.#exporter ??= new (await import('../admin/otlp-exporter.ts')).OtlpExporter(config);
    const process = await processFigures();
    const source = { status: await status(), process, logged: events.counts() };
    // A clock that was set back must not make an end before the start.
    const nowMs = clock.nowMs();
    await this.#exporter.export(source, Math.min(this.#startMs, nowMs), nowMs);
  }
}

/** Where the configuration names a collector; of an agent without a log, too. */
export function startOtlp(
  { metrics: { otlp } }: Config,
  { status, events, clock, logger }: Omit<OtlpTellerOptions, 'config'>,
  stack: StopStack,
): void {
  if (otlp === undefined) return;
  const teller = new OtlpTeller({ config: otlp, status, events, clock, logger });
  teller.start();
  stack.push('the metrics for a collector', async () => teller.stop());
}
