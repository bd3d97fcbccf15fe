import type { AgentStatus } from '../admin/status.ts';
import { must } from '../assert.ts';
import { messageOf } from '../errors.ts';
import { NO_HEADERS } from '../headers.ts';
import { HEALTH_LIMITS } from '../health-limits.ts';
import { type HealthJson, METRICS } from '../health.ts';
import type { StreamId } from '../record.ts';
import type { LogWriter } from '../store/log.ts';
import type { Logger } from '../telemetry.ts';
import type { Clock, Timer } from '../time.ts';
import { healthOf, type HealthLook } from './health-record.ts';
import { hostFigures, type HostFigures } from './host-figures.ts';

export interface HealthTellerOptions {
  readonly intervalMs: number;
  readonly gateway: string;
  readonly writer: Pick<LogWriter, 'defineTopic' | 'append'>;
  readonly status: () => Promise<AgentStatus>;
  /** Lines of the log since start. */
  readonly logged: () => HealthLook['logged'];
  readonly host?: () => Promise<HostFigures>;
  readonly clock: Clock;
  readonly logger: Logger;
}

/**
 * Puts how the agent and its host are into the topic `_metrics`, at every interval. One record at a time:
 * what the log does not take is not kept, for the next one says more. Not synced for its own sake (`os`):
 * the card is spared, and a power cut costs a second of it.
 */
export class HealthTeller {
  readonly #options: HealthTellerOptions;
  readonly #stream: StreamId;
  #before: HealthLook | undefined;
  #timer: Timer | undefined;
  #telling: Promise<void> = Promise.resolve();
  #stopped = false;
  /** The last one could not be written: that was said. */
  #failed = false;

  constructor(options: HealthTellerOptions) {
    this.#options = options;
    const topic = options.writer.defineTopic(METRICS, {
      partitions: 1,
      durability: 'os',
      retentionMs: HEALTH_LIMITS.retentionMs,
      retentionBytes: HEALTH_LIMITS.retentionBytes,
      priority: HEALTH_LIMITS.priority,
    });
    this.#stream = must(topic.streams[0], 'a topic has a partition');
  }

  start(): void {
    this.#later(Math.min(HEALTH_LIMITS.firstMs, this.#options.intervalMs));
  }

  /** Ends after a record under way. */
  async stop(): Promise<void> {
    this.#stopped = true;
    this.#timer?.cancel();
    await this.#telling;
  }

  #later(delayMs: number): void {
    if (this.#stopped) return;
    this.#timer = this.#options.clock.after(delayMs, () => {
      this.#telling = this.#tell();
    });
  }

  /** Never rejects. */
  async #tell(): Promise<void> {
    const { intervalMs, logger } = this.#options;
    try {
      const look = await this.#look();
      await this.#write(look, healthOf(look, this.#before, intervalMs));
      this.#before = look;
      this.#failed = false;
    } catch (error) {
      if (!this.#failed) {
        logger.warn(
          { event: 'metrics.untold', error: messageOf(error) },
          `how this gateway is could not be put into the topic ${METRICS}; it is tried at every interval`,
        );
      }
      this.#failed = true;
    }
    this.#later(intervalMs);
  }

  async #look(): Promise<HealthLook> {
    const { status, host = hostFigures, logged, clock } = this.#options;
    const { user, system } = process.cpuUsage();
    return {
      atMs: clock.monotonicMs(),
      nowMs: clock.nowMs(),
      status: await status(),
      host: await host(),
      cpuMs: (user + system) / 1000,
      logged: logged(),
    };
  }

  #write({ nowMs }: HealthLook, health: HealthJson): Promise<void> {
    const { writer, gateway } = this.#options;
    const [key, value] = [Buffer.from(gateway), Buffer.from(JSON.stringify(health))];
    return new Promise((resolve, reject) => {
      writer.append(this.#stream, nowMs, key, value, NO_HEADERS, 'os', (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
}
