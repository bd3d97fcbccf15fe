import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectAsync } from 'mqtt';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ControlClient } from '../../src/admin/control-client.ts';
import { CliFolder } from '../support/cli.ts';
import { startMosquitto } from '../support/mosquitto.ts';

/** Mirrors to central gatelogs that come, move, change and go under a running agent, in the midst of traffic. */
const PLACE = ['--config', 'gatelog.yaml'];
const TIMEOUT_MS = 60_000;
let edge: CliFolder;
let centres: CliFolder[];
beforeEach(() => {
  edge = new CliFolder();
  centres = [];
});
afterEach(async () => {
  for (const folder of [edge, ...centres]) await folder.remove();
});

async function startCentre(): Promise<{ url: string; folder: CliFolder }> {
  const folder = new CliFolder();
  centres.push(folder);
  writeFileSync(
    path.join(folder.folder, 'gatelog.yaml'),
    `gateway: centre-${centres.length}\nmqtt: {central: true}\n`,
  );
  const { url } = await folder.startAgent(PLACE);
  return { folder, url };
}

/** `mqtt`: what the mirror says of its far side; undefined: there is no mirror. */
function configure(mqtt: string | undefined): void {
  const mirrors = mqtt === undefined ? '' : `mirrors: {central: {mqtt: {${mqtt}}}}\n`;
  writeFileSync(
    path.join(edge.folder, 'gatelog.yaml'),
    `gateway: edge\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `topics: {telemetry: {partitions: 2}}\n${mirrors}`,
  );
}

async function change(mqtt: string | undefined): Promise<void> {
  configure(mqtt);
  const report = await new ControlClient(edge.data).reload();
  expect(report).toMatchObject({ refused: null, needsRestart: [] });
  expect(report.applied.length).toBeGreaterThan(0);
}

async function sent(): Promise<number> {
  return (await new ControlClient(edge.data).status()).mirrors[0]?.recordsSent ?? 0;
}

/** It sends, and was not halted. */
async function flows(): Promise<void> {
  const before = await sent();
  await expect.poll(sent, { timeout: TIMEOUT_MS }).toBeGreaterThan(before + 5);
}

async function caughtUp(): Promise<void> {
  const lag = async (): Promise<unknown> => {
    const [mirror] = (await new ControlClient(edge.data).status()).mirrors;
    return { state: mirror?.state, lag: mirror?.lagRecords };
  };
  await expect.poll(lag, { timeout: TIMEOUT_MS }).toEqual({ state: 'live', lag: 0 });
}

/** By key, the numbers that came, in the order of the log. */
async function numbersIn(folder: CliFolder): Promise<Map<string, number[]>> {
  const { stdout } = await folder.run(['consume', 'telemetry', '--json']);
  const records = stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as { key: string; value: string });
  return new Map(
    [...Map.groupBy(records, ({ key }) => key)].map(([key, some]) => [
      key,
      some.map(({ value }) => Number(value)),
    ]),
  );
}

interface Traffic {
  /** How many of each key were acknowledged. */
  end(): Promise<readonly number[]>;
}

const KEYS = 4;

async function traffic(url: string): Promise<Traffic> {
  const device = await connectAsync(url, { reconnectPeriod: 0 });
  const over = new AbortController();
  const counts = Array.from({ length: KEYS }, () => 0);
  const sending = (async () => {
    for (let turn = 0; !over.signal.aborted; turn++) {
      const key = turn % KEYS;
      await device.publishAsync(`line/${key}`, String(counts[key]), { qos: 1 });
      counts[key] = (counts[key] ?? 0) + 1;
    }
  })();
  return {
    end: async () => {
      over.abort();
      await sending;
      await device.endAsync();
      return counts;
    },
  };
}

function upTo(end: number, from = 0): number[] {
  return Array.from({ length: end - from }, (_, index) => from + index);
}

test('to one centre: each record once and in order, whatever changes and however often it goes', async () => {
  const centre = await startCentre();
  const other = centre.url.replace('127.0.0.1', 'localhost');
  configure(undefined);
  const agent = await edge.start(['run', ...PLACE, '--http', 'off']);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  const device = await traffic(url);
  await change(`url: "${centre.url}"`);
  await flows();
  await change(`url: "${centre.url}", qos: 2`);
  await flows();
  await change(`url: "${centre.url}", qos: 2, ackTimeout: 5s`);
  await flows();
  // The same centre under another name, and back.
  await change(`url: "${other}"`);
  await flows();
  await change(`url: "${centre.url}", clientId: another`);
  await flows();
  await change(undefined);
  expect((await new ControlClient(edge.data).status()).mirrors).toEqual([]);
  await change(`url: "${centre.url}", qos: 2`);
  await flows();
  await centre.folder.killAll();
  await change(`url: "${centre.url}", qos: 2, keepAlive: 20s`);
  await centre.folder.startAgent([...PLACE, '--mqtt', centre.url]);
  await flows();
  const counts = await device.end();
  await caughtUp();
  const found = await numbersIn(centre.folder);
  for (const [key, count] of counts.entries())
    expect(found.get(`line/${key}`)).toEqual(upTo(count));
  expect(await agent.stop(25_000)).toEqual({ code: 0, signal: null });
});

test('from one centre to another: what the first has not, the second has; and back', async () => {
  const [first, second] = [await startCentre(), await startCentre()];
  configure(`url: "${first.url}"`);
  const agent = await edge.start(['run', ...PLACE, '--http', 'off']);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  const device = await traffic(url);
  await flows();
  await change(`url: "${second.url}"`);
  await flows();
  await change(`url: "${first.url}"`);
  await flows();
  const counts = await device.end();
  await caughtUp();
  const [one, two] = [await numbersIn(first.folder), await numbersIn(second.folder)];
  for (const [number, count] of counts.entries()) {
    const key = `line/${number}`;
    const [there, elsewhere] = [one.get(key) ?? [], two.get(key) ?? []];
    expect(elsewhere.length).toBeGreaterThan(0);
    expect([...new Set([...there, ...elsewhere])].toSorted((a, b) => a - b)).toEqual(upTo(count));
    // Each in order and once.
    for (const some of [there, elsewhere]) {
      expect(some).toEqual([...new Set(some)].toSorted((a, b) => a - b));
    }
    // It ended in good order, so that every answer came before it moved.
    expect(there.length + elsewhere.length).toBe(count);
  }
});

test('to another broker at QoS 2: each record comes once, for the mirror goes on in its session there', async () => {
  const mosquitto = await startMosquitto();
  try {
    const subscriber = await connectAsync(`mqtt://127.0.0.1:${mosquitto.port}`, {
      protocolVersion: 5,
    });
    const heard = new Map<string, number[]>();
    subscriber.on('message', (topic, payload) => {
      heard.set(topic, [...(heard.get(topic) ?? []), Number(payload.toString())]);
    });
    await subscriber.subscribeAsync('line/#', { qos: 2 });
    const to = `url: "mqtt://127.0.0.1:${mosquitto.port}", qos: 2`;
    configure(to);
    const agent = await edge.start(['run', ...PLACE, '--http', 'off']);
    const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    const device = await traffic(url);
    await flows();
    for (const more of ['ackTimeout: 20s', 'ackTimeout: 21s', 'keepAlive: 20s']) {
      await change(`${to}, ${more}`);
      await flows();
    }
    const counts = await device.end();
    await caughtUp();
    const all = (): number[] => counts.map((_, key) => heard.get(`line/${key}`)?.length ?? 0);
    await expect.poll(all, { timeout: TIMEOUT_MS }).toEqual(counts);
    for (const [key, count] of counts.entries()) {
      expect(heard.get(`line/${key}`)).toEqual(upTo(count));
    }
    await subscriber.endAsync();
  } finally {
    await mosquitto.stop();
  }
});
