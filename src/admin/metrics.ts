import { type Metric, Registry } from 'prom-client';
import { METRIC_FAMILIES } from './metric-families.ts';
import type { MetricSource } from './metrics-family.ts';

/**
 * Metrics in the text form of Prometheus. Nothing is counted here: each scrape reads what the status says
 * at that moment, so a figure is the same in both, and an agent that nobody scrapes does nothing for it.
 */
export class Metrics {
  readonly #registry = new Registry();
  #source: MetricSource | undefined;

  constructor() {
    for (const { name, help, type, read } of METRIC_FAMILIES) {
      // What prom-client asks of a metric; its own classes count for themselves.
      const metric = {
        name,
        get: () => ({
          name,
          help,
          type,
          values: this.#source === undefined ? [] : read(this.#source),
          aggregator: 'sum',
        }),
        reset: () => {},
      };
      this.#registry.registerMetric(metric as unknown as Metric);
    }
  }

  get contentType(): string {
    return this.#registry.contentType;
  }

  text(source: MetricSource): Promise<string> {
    this.#source = source;
    return this.#registry.metrics();
  }
}
