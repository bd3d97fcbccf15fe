import { TRUST_STATES } from '../clock-status.ts';
import { parseIsoTime } from '../time.ts';
import type { CertificateStatus } from './certificate-status.ts';
import {
  labelled,
  type MetricFamily,
  type MetricSource,
  seconds,
  single,
  states,
} from './metrics-family.ts';
import { unreadyOf } from './readiness.ts';

/** The agent itself, the machine's clock, certificates, and the process. */
export const AGENT_METRICS: readonly MetricFamily[] = [
  labelled(
    'gauge',
    'gatelog_build_info',
    'Always 1: which version runs, in which Node.',
    ({ status }) => [status],
    ({ version }) => [{ version, node_version: process.version }, 1],
  ),
  labelled(
    'gauge',
    'gatelog_gateway_info',
    'Always 1: whose log this is. A new incarnation is a new data folder.',
    ({ status }) => [status],
    ({ gateway, incarnation }) => [{ gateway, incarnation }, 1],
  ),
  single(
    'gauge',
    'gatelog_uptime_seconds',
    'Since the agent started, whatever the wall clock did.',
    ({ status }) => seconds(status.uptimeMs),
  ),
  single(
    'gauge',
    'gatelog_ready',
    '1: devices may connect, and what they send is stored (as /readyz).',
    ({ status }) => unreadyOf(status).length === 0,
  ),
  single(
    'gauge',
    'gatelog_degraded',
    '1: it serves without a log, and acknowledges nothing that belongs into it.',
    ({ status }) => status.degraded !== null,
  ),
  labelled(
    'counter',
    'gatelog_log_lines_total',
    'Lines of the agent’s own log since start.',
    ({ logged }) => Object.entries(logged),
    ([level, count]) => [{ level }, count],
  ),
  states(
    'gatelog_clock_state',
    '1 for the state of trust in the machine’s clock.',
    TRUST_STATES,
    ({ status }) => (status.clock === null ? [] : [status.clock]),
    ({ state }) => [{}, state],
  ),
  single(
    'gauge',
    'gatelog_clock_ahead_seconds',
    'How far the machine’s clock is ahead of the best known time.',
    ({ status }) => seconds(status.clock?.aheadMs),
  ),
  single(
    'counter',
    'gatelog_clock_jumps_total',
    'Jumps of the machine’s clock noticed since start.',
    ({ status }) => status.clock?.jumps,
  ),
  labelled(
    'gauge',
    'gatelog_certificate_expiry_timestamp_seconds',
    'When a certificate of a listener is good no longer, in seconds since 1970.',
    certificates,
    ({ file, expiresAt }) => [{ file }, seconds(parseIsoTime(expiresAt))],
  ),
  labelled(
    'gauge',
    'gatelog_certificate_trouble',
    '1: newer files of a certificate can’t be used, and those from before are.',
    certificates,
    ({ file, trouble }) => [{ file }, trouble !== null],
  ),
  labelled(
    'gauge',
    'gatelog_access_file_trouble',
    '1: a file of users or rules, or the keys of tokens, can’t be used as they are.',
    ({ status }) => status.accessFiles,
    ({ what, trouble }) => [{ what }, trouble !== null],
  ),
  single(
    'gauge',
    'gatelog_http_trouble',
    '1: an address of the HTTP side can’t be listened on.',
    ({ status }) => status.http.trouble !== null,
  ),
  single(
    'counter',
    'process_cpu_seconds_total',
    'Processor time of this process, in seconds.',
    ({ process: { cpuSeconds } }) => cpuSeconds,
  ),
  single(
    'gauge',
    'process_resident_memory_bytes',
    'Memory of this process that is in RAM, in bytes.',
    ({ process: { residentBytes } }) => residentBytes,
  ),
  single(
    'gauge',
    'gatelog_process_anonymous_memory_bytes',
    'Of that its own, without what is in files, in bytes.',
    ({ process: { anonymousBytes } }) => anonymousBytes,
  ),
  single(
    'gauge',
    'process_open_fds',
    'Open file descriptors.',
    ({ process: { openFiles } }) => openFiles,
  ),
  single(
    'gauge',
    'process_max_fds',
    'Most file descriptors that may be open.',
    ({ process: { openFilesMax } }) => openFilesMax,
  ),
  single(
    'gauge',
    'process_start_time_seconds',
    'When this process started, in seconds since 1970 by the machine’s clock then.',
    ({ status }) => seconds(parseIsoTime(status.startedAt)),
  ),
  single(
    'gauge',
    'nodejs_heap_size_used_bytes',
    'What V8’s heap holds, in bytes.',
    ({ process: { heapBytes } }) => heapBytes,
  ),
  single(
    'gauge',
    'nodejs_external_memory_bytes',
    'Memory of buffers outside of V8’s heap, in bytes.',
    ({ process: { externalBytes } }) => externalBytes,
  ),
  single(
    'counter',
    'nodejs_eventloop_active_seconds_total',
    'How long the event loop was busy, in seconds.',
    ({ process: { busySeconds } }) => busySeconds,
  ),
];

/** Each file once: devices and the HTTP side may be shown the same one. What is wrong with either is said. */
function certificates({ status }: MetricSource): readonly CertificateStatus[] {
  const files = new Map<string, CertificateStatus>();
  for (const each of status.certificates) {
    if (each.trouble !== null || !files.has(each.file)) files.set(each.file, each);
  }
  return [...files.values()];
}
