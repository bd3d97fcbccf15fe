import type { BadConfig } from './bad-configs.ts';

/** The same for what the gateway tells of itself. */
export const BAD_METRICS_CONFIGS: readonly BadConfig[] = [
  {
    name: 'a collector that is no address',
    text: 'metrics: {otlp: {url: "collector:4318"}}\n',
    lines: [
      'bad.yaml:1:23: metrics.otlp.url: expected an address such as https://collector.example.com/v1/metrics, without a name or password in it, found "collector:4318"',
    ],
  },
  {
    name: 'headers for a collector that go readable for all',
    text: 'metrics: {otlp: {url: "http://collector.example.com/v1/metrics", headers: {Authorization: x}}}\n',
    lines: [
      'bad.yaml:1:23: metrics.otlp.url: expected https, or an address of this machine: headers would go readable for all, found "http://collector.example.com/v1/metrics"',
    ],
  },
  {
    name: 'headers that can not be sent, which are not shown',
    text: 'metrics:\n  otlp:\n    url: http://[::1]:4318/v1/metrics\n    interval: 1s\n    headers: {"a b": hunter2, B: "x\\ny"}\n',
    lines: [
      'bad.yaml:4:15: metrics.otlp.interval: expected a duration from 5s to 1d, such as 1m, found "1s"',
      'bad.yaml:5:34: metrics.otlp.headers.B: expected printable characters, at most 4096, found a text that is not shown',
    ],
  },
];
