import { z } from 'zod';
import { HEALTH_LIMITS } from '../health-limits.ts';
import { OTLP_LIMITS } from '../otlp-limits.ts';
import { duration, leaf, section, text } from './config-leaves.ts';
import type { MetricsConfig, OtlpConfig } from './config-types.ts';
import { isLoopback } from './listen-address.ts';

/** The part of the schema that says what the gateway tells of itself by its own accord. */
const INTERVAL = { min: HEALTH_LIMITS.intervalMsMin, max: HEALTH_LIMITS.intervalMsMax };
const INTERVAL_BOUNDS = 'from 5s to 1d, such as 1m';
const healthInterval = duration(INTERVAL, '');

const headerValue = text(
  `printable characters, at most ${OTLP_LIMITS.headerBytes}`,
  (value) => value.length <= OTLP_LIMITS.headerBytes && /^[\x20-\x7e]+$/u.test(value),
);

const otlpSection: z.ZodType<OtlpConfig> = section({
  url: text(
    'an address such as https://collector.example.com/v1/metrics, without a name or password in it',
    isCollectorUrl,
  ),
  interval: duration(INTERVAL, INTERVAL_BOUNDS).default(OTLP_LIMITS.intervalMs),
  headers: z.record(z.string(), headerValue).default({}),
}).transform(({ url, interval, headers }, context) => {
  const names = Object.keys(headers);
  const expect = (path: readonly string[], message: string): void =>
    context.addIssue({ code: 'custom', path: [...path], message });
  if (names.length > OTLP_LIMITS.headers) {
    expect(['headers'], `at most ${OTLP_LIMITS.headers} headers`);
  }
  for (const name of names) {
    if (!/^[A-Za-z0-9-]{1,128}$/u.test(name)) {
      expect(['headers', name], 'a header whose name is of letters, digits and "-"');
    }
  }
  if (names.length > 0 && !isPrivate(url)) {
    expect(['url'], 'https, or an address of this machine: headers would go readable for all');
  }
  return { url, intervalMs: interval, headers };
});

export const metricsSection: z.ZodType<MetricsConfig> = section({
  interval: leaf(`a duration ${INTERVAL_BOUNDS}, or off`, (value) => {
    if (value === 'off' || value === false) return 'off';
    return healthInterval.safeParse(value).data;
  }).default('off'),
  otlp: otlpSection.optional(),
}).transform(({ interval, otlp }) => ({
  intervalMs: interval === 'off' ? undefined : interval,
  otlp,
}));

function isCollectorUrl(value: string): boolean {
  const url = URL.parse(value);
  if (url === null || !['http:', 'https:'].includes(url.protocol)) return false;
  return url.hostname !== '' && url.username === '' && url.password === '' && url.hash === '';
}

/** What is sent there nobody else reads. */
function isPrivate(value: string): boolean {
  const url = new URL(value);
  return url.protocol === 'https:' || isLoopback(url.hostname.replace(/^\[(.*)\]$/u, '$1'));
}
