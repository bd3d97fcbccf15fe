import { readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { type MqttClient, connectAsync } from 'mqtt';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CliFolder } from '../support/cli.ts';
import { until } from '../support/hunt/wait.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { freePorts } from '../support/ports.ts';
import { Prometheus, type Series } from '../support/prometheus.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';

/** What deploy/ has for Prometheus and Grafana, asked of a real Prometheus that scrapes a real agent with traffic. */
const ROOT = path.join(import.meta.dirname, '../..');
const ALERTS = path.join(ROOT, 'deploy/prometheus/gatelog-alerts.yml');
const TOKEN = 'a-token-for-reading-1';

/** Panels that have nothing to show here, and why; every other one must have data. */
const EMPTY: Readonly<Record<string, string>> = {
  'Lost, by reason': 'nothing is lost',
};

interface Panel {
  readonly title: string;
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}
interface Dashboard {
  readonly panels: readonly Panel[];
  readonly templating: {
    readonly list: readonly { readonly name: string; readonly definition?: string }[];
  };
}

let cli: CliFolder;
let central: Mosquitto;
let device: MqttClient;
let prometheus: Prometheus;
let http: string;
const publishing = new AbortController();
let published: Promise<void>;

beforeAll(async () => {
  cli = new CliFolder();
  central = await startMosquitto();
  const [mqttPort = 0, httpPort = 0] = await freePorts(2);
  const tls = await makeServerCertificate(cli.folder, 'gateway', 90);
  http = `https://localhost:${httpPort}`;
  const config = {
    gateway: 'plant-7',
    http: { listen: [http], token: TOKEN, tls },
    mqtt: { listen: [`mqtt://127.0.0.1:${mqttPort}`, 'mqtts://127.0.0.1:0'], tls },
    store: { wear: { rating: '100TB' } },
    mirrors: {
      central: {
        mqtt: { url: central.url },
        link: { budget: [{ per: 'day', bytes: '100MB' }] },
      },
    },
  };
  writeFileSync(path.join(cli.folder, 'g.yaml'), JSON.stringify(config));
  const agent = await cli.start(['run', '--config', 'g.yaml']);
  await agent.waitFor(/"event":"agent\.ready"/u);
  device = await connectAsync(`mqtt://127.0.0.1:${mqttPort}`, { reconnectPeriod: 0 });
  published = (async () => {
    while (!publishing.signal.aborted)
      await device.publishAsync('plant/a', 'x'.repeat(200), { qos: 1 });
  })();
  prometheus = await Prometheus.start({
    scrape: {
      job_name: 'gatelog',
      scheme: 'https',
      tls_config: { ca_file: tls.cert },
      authorization: { credentials: TOKEN },
      static_configs: [{ targets: [new URL(http).host] }],
    },
    ruleFiles: [ALERTS],
  });
  // Rates want two scrapes at least, of a mirror that sends.
  const sent = 'rate(gatelog_mirror_sent_records_total[1m]) > 0';
  await until(
    async () => (await prometheus.query(sent)).length > 0,
    60_000,
    () => sent,
  );
});
afterAll(async () => {
  publishing.abort();
  await published;
  await device.endAsync();
  await prometheus.stop();
  await cli.remove();
  await central.stop();
});

/** As Grafana asks: variables by what they stand for when all is chosen. */
function asked(expression: string): string {
  return expression
    .replaceAll(/\$(?:instance|mirror)\b/gu, '.*')
    .replaceAll('$__rate_interval', '1m');
}

function labelsIn(legend: string): string[] {
  return [...legend.matchAll(/\{\{(\w+)\}\}/gu)].map(([, name = '']) => name);
}

const isNumber = ({ value }: Series): boolean => Number.isFinite(Number(value[1]));

test('the agent is scraped with a token, over TLS, and each sample comes once', async () => {
  const [target] = await prometheus.targets();
  expect(target).toMatchObject({ health: 'up', lastError: '' });
  const [scraped] = await prometheus.query('scrape_samples_scraped');
  const [added] = await prometheus.query(
    'count({job="gatelog",__name__!~"up|scrape_.*|ALERTS.*"})',
  );
  expect(Number(scraped?.value[1])).toBe(Number(added?.value[1]));
});

test('every panel of the dashboard has data, and what its legends name', async () => {
  const text = readFileSync(path.join(ROOT, 'deploy/grafana/gatelog.json'), 'utf8');
  const board = JSON.parse(text) as Dashboard;
  const strange: string[] = [];
  for (const { title, targets = [] } of board.panels) {
    for (const { expr, legendFormat } of targets) {
      const found = (await prometheus.query(asked(expr))).filter(isNumber);
      if (found.length === 0) strange.push(`${title}: ${expr}`);
      const missing = labelsIn(legendFormat).filter((name) =>
        found.some(({ metric }) => metric[name] === undefined),
      );
      if (missing.length > 0) strange.push(`${title}: no ${missing.join()} in ${expr}`);
    }
  }
  expect(strange.map((one) => one.split(':')[0])).toEqual(Object.keys(EMPTY));
  for (const { definition } of board.templating.list) {
    if (definition === undefined) continue;
    const [, selector = '', label = ''] = /^label_values\((.+), (\w+)\)$/u.exec(definition) ?? [];
    const found = await prometheus.query(asked(selector));
    expect(Object.keys(found[0]?.metric ?? {})).toContain(label);
  }
});

test('every alert rule can be evaluated, and none fires for a gateway that is well', async () => {
  const rules = await prometheus.rules();
  expect(rules.length).toBeGreaterThan(15);
  expect(rules.filter(({ health }) => health !== 'ok')).toEqual([]);
  // Forecasts of a gateway that has just begun may wait for their time; they do not last as long.
  expect(rules.filter(({ state }) => state === 'firing')).toEqual([]);
});
