import { HTTP_LIMITS } from '../http-limits.ts';
import { LATENCY_BOUNDS_MS, type LatencyCounts } from '../latency-counts.ts';
import type { EventLevel } from './event-book.ts';
import type { ProcessFigures } from './process-figures.ts';
import type { AgentStatus } from './status.ts';

/** What metrics are read from, of one moment. */
export interface MetricSource {
  readonly status: AgentStatus;
  readonly process: ProcessFigures;
  /** Lines of the log since start. */
  readonly logged: Readonly<Record<EventLevel, number>>;
}

export interface Sample {
  readonly labels: Readonly<Record<string, string | number>>;
  readonly value: number;
  /** Where it is not the family's own, as with the buckets of a histogram. */
  readonly metricName?: string;
}

/**
 * One metric: names by Prometheus's conventions, which are API. The help says what is counted and in which
 * unit. A value that nobody knows has no sample; it is not 0.
 */
export interface MetricFamily {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  readonly read: (source: MetricSource) => readonly Sample[];
}

type Figure = number | boolean | null | undefined;
type Kind = Exclude<MetricFamily['type'], 'histogram'>;

/** One value without labels. */
export function single(
  type: Kind,
  name: string,
  help: string,
  read: (source: MetricSource) => Figure,
): MetricFamily {
  return { name, type, help, read: (source) => sampleOf({}, read(source)) };
}

/** A value for each of some things. */
export function labelled<T>(
  type: Kind,
  name: string,
  help: string,
  things: (source: MetricSource) => readonly T[],
  read: (thing: T) => readonly [labels: Sample['labels'], value: Figure],
): MetricFamily {
  return {
    name,
    type,
    help,
    read: (source) => things(source).flatMap((thing) => sampleOf(...read(thing))),
  };
}

/** 1 for the state that holds and 0 for the others, so that each can be asked and drawn. */
export function states<T>(
  name: string,
  help: string,
  known: readonly string[],
  things: (source: MetricSource) => readonly T[],
  read: (thing: T) => readonly [labels: Sample['labels'], state: string],
): MetricFamily {
  const read1 = (thing: T): Sample[] => {
    const [labels, state] = read(thing);
    return known.map((each) => ({
      labels: { ...labels, state: each },
      value: each === state ? 1 : 0,
    }));
  };
  return { name, type: 'gauge', help, read: (source) => things(source).flatMap(read1) };
}

/** In seconds, as Prometheus has times. */
export function histogram(
  name: string,
  help: string,
  read: (source: MetricSource) => LatencyCounts | undefined,
): MetricFamily {
  return {
    name,
    type: 'histogram',
    help,
    read: (source) => {
      const latency = read(source);
      return latency === undefined ? [] : bucketsOf(name, latency);
    },
  };
}

function bucketsOf(name: string, { counts, totalMs }: LatencyCounts): Sample[] {
  const samples: Sample[] = [];
  let sum = 0;
  for (const [at, count] of counts.entries()) {
    sum += count;
    const bound = LATENCY_BOUNDS_MS[at];
    const le = bound === undefined ? '+Inf' : String(bound / 1000);
    samples.push({ metricName: `${name}_bucket`, labels: { le }, value: sum });
  }
  samples.push({ metricName: `${name}_sum`, labels: {}, value: totalMs / 1000 });
  samples.push({ metricName: `${name}_count`, labels: {}, value: sum });
  return samples;
}

function sampleOf(labels: Sample['labels'], value: Figure): Sample[] {
  if (value === null || value === undefined) return [];
  return [{ labels, value: Number(value) }];
}

export function seconds(ms: number | null | undefined): number | undefined {
  return ms === null || ms === undefined ? undefined : ms / 1000;
}

/** The name under which the figures of those stand that are beyond the bound. */
export const OTHERS = '(others)';

/**
 * What has a label of its own is bounded: a centre makes topics as gateways send them. Beyond the bound,
 * in the order of names, they are put together.
 */
export function bounded<T extends { readonly name: string }>(
  things: readonly T[],
  together: (rest: readonly T[]) => T,
  atMost: number = HTTP_LIMITS.metricTopics,
): readonly T[] {
  if (things.length <= atMost) return things;
  const sorted = things.toSorted((one, other) => (one.name < other.name ? -1 : 1));
  const rest = sorted.slice(atMost - 1);
  return [...sorted.slice(0, atMost - 1), { ...together(rest), name: OTHERS }];
}
