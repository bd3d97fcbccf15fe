import { AGENT_METRICS } from './metrics-agent.ts';
import type { MetricFamily } from './metrics-family.ts';
import { INGEST_METRICS } from './metrics-ingest.ts';
import { MIRROR_METRICS } from './metrics-mirrors.ts';
import { STORE_METRICS } from './metrics-store.ts';

/** Every metric there is, in the order in which they are told. */
export const METRIC_FAMILIES: readonly MetricFamily[] = [
  ...AGENT_METRICS,
  ...INGEST_METRICS,
  ...STORE_METRICS,
  ...MIRROR_METRICS,
];
