import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { connectAsync } from 'mqtt';
import { startPlainBrowser } from '../support/browser.ts';
import { AgentProcess } from '../support/hunt/agent-process.ts';
import { pause, until } from '../support/hunt/wait.ts';
import { openCluster } from '../support/kafka/cluster.ts';
import { freePorts } from '../support/ports.ts';
import { runChecked } from '../support/process.ts';
import { anonymousKiB, MemoryWatch } from './memory-watch.ts';
import { countsOf, ratesBetween } from './process-meter.ts';

/**
 * npm run bench:idle: what an agent takes while nothing happens (goal: at most 0.5 % of a core), with everything on: ten
 * devices that stay connected, a mirror whose Kafka stands, `_metrics` each minute, the HTTP side; then scraped every
 * 15 s; then with the status page open in Chromium. Then its memory at 1,000 messages a second, page and all. Of the
 * build, with the flags that it is deployed with.
 *
 *   npm run bench:idle -- [--seconds 120] [--busy 60] [--without kafka,page]
 */
const { values } = parseArgs({
  options: {
    seconds: { type: 'string', default: '120' },
    busy: { type: 'string', default: '60' },
    without: { type: 'string', default: '' },
  },
});
const seconds = Number(values.seconds);
const without = new Set(values.without.split(','));
const SETTLE_MS = 10_000;

const folder = mkdtempSync(join(tmpdir(), 'gatelog-idle-'));
const [mqttPort = 0, httpPort = 0] = await freePorts(2);
const page = `http://127.0.0.1:${httpPort}`;
const cluster = without.has('kafka') ? undefined : await openCluster();
const config = join(folder, 'gatelog.yaml');
const name = `idle-${process.pid}`;
writeFileSync(
  config,
  JSON.stringify({
    gateway: name,
    data: join(folder, 'data'),
    log: { format: 'json' },
    http: { listen: [page] },
    mqtt: { listen: [`mqtt://127.0.0.1:${mqttPort}`] },
    metrics: { interval: '1m' },
    ...(cluster === undefined
      ? {}
      : {
          mirrors: {
            central: {
              kafka: {
                brokers: cluster.bootstrap('plaintext'),
                topic: `${name}.{topic}`,
                create: { partitions: 1, replicationFactor: 1 },
              },
            },
          },
        }),
  }),
);

const logFile = join(folder, 'agent.log');
const agent = await AgentProcess.start({ config, logFile });

async function connect(index: number): Promise<{ endAsync(): Promise<void> }> {
  return connectAsync(`mqtt://127.0.0.1:${mqttPort}`, {
    clientId: `device-${index}`,
    keepalive: 60,
  });
}

async function scrape(): Promise<string> {
  return (await fetch(`${page}/metrics`)).text();
}

async function measure(what: string, forSeconds = seconds): Promise<void> {
  await pause(SETTLE_MS);
  const before = countsOf(agent.pid);
  await pause(forSeconds * 1000);
  const { cpuPercent, wakeupsPerSecond, byThread } = ratesBetween(before, countsOf(agent.pid));
  const threads = byThread.map(([thread, rate]) => `${thread} ${rate.toFixed(1)}`).join(', ');
  console.log(
    `${what}: ${cpuPercent.toFixed(3)} % of a core, ${wakeupsPerSecond.toFixed(1)} wakeups/s ` +
      `(${threads}), RssAnon ${(anonymousKiB(agent.pid) / 1024).toFixed(1)} MiB`,
  );
}

async function busy(): Promise<void> {
  const load = join(import.meta.dirname, '../support/mqtt-load.ts');
  const watch = new MemoryWatch(agent.pid);
  const before = countsOf(agent.pid);
  const { stdout } = await runChecked(
    {
      command: process.execPath,
      args: [
        load,
        '--port',
        String(mqttPort),
        '--seconds',
        values.busy,
        '--connections',
        '100',
      ].concat(['--rate', '1000', '--payload', '200', '--topics', '2000']),
    },
    600_000,
  );
  const { cpuPercent } = ratesBetween(before, countsOf(agent.pid));
  console.log(
    `1,000 messages/s: RssAnon ${(watch.stop() / 1024).toFixed(1)} MiB at peak, ` +
      `${cpuPercent.toFixed(1)} % of a core; ${stdout.trim()}`,
  );
}

try {
  await until(
    () =>
      connect(0)
        .then((client) => client.endAsync())
        .then(
          () => true,
          () => false,
        ),
    30_000,
    () => 'the agent takes connections',
  );
  const devices = await Promise.all(Array.from({ length: 10 }, (_, index) => connect(index)));
  if (seconds > 0) await measure('connected devices, nothing asked');
  await scrape();
  const scraping = setInterval(() => void scrape().catch(() => undefined), 15_000);
  if (seconds > 0) await measure('scraped every 15 s');
  const browser = without.has('page') ? undefined : await startPlainBrowser();
  await (await browser?.newPage())?.goto(`${page}/`);
  if (seconds > 0) await measure('and the page open');
  if (values.busy !== '0') {
    await busy();
    await measure('after it, page open', 20);
    await browser?.close();
    await measure('after it, page closed', 20);
  }
  clearInterval(scraping);
  await Promise.all(devices.map((device) => device.endAsync()));
  await agent.stop();
} finally {
  await agent.kill();
  await cluster?.close();
  rmSync(folder, { recursive: true, force: true });
}
