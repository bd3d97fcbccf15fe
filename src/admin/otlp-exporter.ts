import { ValueType } from '@opentelemetry/api';
import { OTLPMetricExporter } from '@opentelemetry/exporter-metrics-otlp-proto';
import { resourceFromAttributes } from '@opentelemetry/resources';
import {
  AggregationTemporality,
  DataPointType,
  type MetricData,
  type ResourceMetrics,
} from '@opentelemetry/sdk-metrics';
import { OTLP_LIMITS } from '../otlp-limits.ts';
import { METRIC_FAMILIES } from './metric-families.ts';
import type { MetricFamily, MetricSource, Sample } from './metrics-family.ts';

export interface OtlpExporterOptions {
  readonly url: string;
  readonly headers: Readonly<Record<string, string>>;
}

type Resource = ResourceMetrics['resource'];
/** Seconds since 1970 and nanoseconds. */
type Moment = [seconds: number, nanos: number];
/** What all points of one export have. */
interface Span {
  readonly startTime: Moment;
  readonly endTime: Moment;
}

/**
 * The metrics of `/metrics`, under the same names and labels, by OpenTelemetry's protocol: OTLP over HTTP, as protobuf.
 * Its instruments count for themselves; here the figures are counted already, so the data that they would give is made
 * from the same table (metrics-family.ts), and sent by the SDK's exporter.
 */
export class OtlpExporter {
  readonly #exporter: OTLPMetricExporter;

  constructor({ url, headers }: OtlpExporterOptions) {
    const timeoutMillis = OTLP_LIMITS.exportMs;
    this.#exporter = new OTLPMetricExporter({ url, headers: { ...headers }, timeoutMillis });
  }

  /** Rejects when the collector did not take them in time. */
  export(source: MetricSource, startMs: number, nowMs: number): Promise<void> {
    const span = { startTime: momentOf(startMs), endTime: momentOf(nowMs) };
    const metrics = METRIC_FAMILIES.flatMap((family) => dataOf(family, source, span));
    const { version } = source.status;
    const scopeMetrics = [{ scope: { name: 'gatelog', version }, metrics }];
    const data: ResourceMetrics = { resource: resourceOf(source), scopeMetrics };
    return new Promise((resolve, reject) => {
      this.#exporter.export(data, ({ error }) => {
        if (error === undefined) resolve();
        else reject(error);
      });
    });
  }
}

/** What tells this gateway from all others. */
function resourceOf({ status: { gateway, incarnation, version } }: MetricSource): Resource {
  return resourceFromAttributes({
    'service.name': 'gatelog',
    'service.version': version,
    'service.instance.id': gateway,
    'gatelog.gateway': gateway,
    'gatelog.incarnation': incarnation,
  });
}

function dataOf(family: MetricFamily, source: MetricSource, span: Span): MetricData[] {
  const samples = family.read(source);
  if (samples.length === 0) return [];
  const common = {
    descriptor: {
      name: family.name,
      description: family.help,
      unit: unitOf(family.name),
      valueType: ValueType.DOUBLE,
    },
    aggregationTemporality: AggregationTemporality.CUMULATIVE,
  };
  if (family.type === 'histogram') {
    const value = histogramOf(family.name, samples);
    const dataPointType = DataPointType.HISTOGRAM as const;
    return [{ ...common, dataPointType, dataPoints: [{ ...span, attributes: {}, value }] }];
  }
  const dataPoints = samples.map(({ labels, value }) => ({
    ...span,
    attributes: attributesOf(labels),
    value,
  }));
  if (family.type === 'gauge')
    return [{ ...common, dataPointType: DataPointType.GAUGE, dataPoints }];
  return [{ ...common, dataPointType: DataPointType.SUM, isMonotonic: true, dataPoints }];
}

/** In Prometheus's text a bucket counts everything below its bound, here what is beyond the bound before it. */
function histogramOf(name: string, samples: readonly Sample[]) {
  const of = (suffix: string): number =>
    samples.find(({ metricName }) => metricName === `${name}_${suffix}`)?.value ?? 0;
  const buckets = samples.filter(({ metricName }) => metricName === `${name}_bucket`);
  const bounds = buckets.map(({ labels }) => Number(labels['le']));
  return {
    buckets: {
      boundaries: bounds.filter(Number.isFinite),
      counts: buckets.map(({ value }, at) => value - (buckets[at - 1]?.value ?? 0)),
    },
    sum: of('sum'),
    count: of('count'),
  };
}

/** By UCUM, as OpenTelemetry wants it; what has none, as a number of records, has an empty one. */
function unitOf(name: string): string {
  if (/_seconds(?:_total)?$/u.test(name)) return 's';
  return /_bytes(?:_total)?$/u.test(name) ? 'By' : '';
}

function attributesOf(labels: Sample['labels']): Record<string, string> {
  return Object.fromEntries(Object.entries(labels).map(([name, value]) => [name, String(value)]));
}

function momentOf(ms: number): Moment {
  const whole = Math.round(ms);
  return [Math.floor(whole / 1000), (whole % 1000) * 1e6];
}
