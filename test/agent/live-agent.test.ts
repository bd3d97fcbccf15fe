import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ControlClient } from '../../src/admin/control-client.ts';
import { startAgent } from '../../src/agent/agent.ts';
import type { Agent } from '../../src/agent/agent-types.ts';
import { defaultConfig } from '../../src/agent/config.ts';
import type { Config } from '../../src/agent/config-types.ts';
import { NO_HTTP } from '../../src/agent/config-http.ts';
import { LiveAgent } from '../../src/agent/live-agent.ts';
import { EventBook } from '../../src/admin/event-book.ts';
import { systemBoot } from '../../src/boot.ts';
import { GatelogError } from '../../src/errors.ts';
import { LIMITS } from '../../src/limits.ts';
import { seededRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { MARKERS_FILE } from '../../src/store/start-markers.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { freePorts } from '../support/ports.ts';
import { listenAt } from '../support/listen.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { entriesOf, rememberingLogger } from '../support/store-kit.ts';
import { SimClock } from '../support/sim-clock.ts';

/** Without a log: what is delivered, what is not acknowledged, and the way back to a whole agent. */
let folder: string;
let agent: Agent | undefined;

const surroundings = {
  clock: systemClock,
  random: seededRandom(1),
  logger: silentLogger,
  version: 'test',
};

const CONSUME_ALL = {
  topic: 'telemetry',
  partition: undefined,
  from: 'beginning',
  follow: false,
  limit: undefined,
} as const;

/** A data folder whose disk is not mounted; only what begins with `logged/` belongs into the log. */
function configOf(whenUnavailable: 'live' | 'exit'): Config {
  const config = defaultConfig({ env: {}, workingFolder: folder });
  return {
    ...config,
    gateway: 'gw',
    data: join(folder, 'data'),
    mqtt: { ...config.mqtt, listen: [listenAt('mqtt://127.0.0.1:0')] },
    http: NO_HTTP,
    store: { ...config.store, mustExist: true, whenUnavailable },
    routes: [{ match: 'logged/#', topic: 'telemetry', key: '{topic}' }],
  };
}

function portOf({ addresses }: Pick<Agent, 'addresses'>): number {
  return Number(new URL(addresses()[0] ?? '').port);
}

async function mountDisk(): Promise<void> {
  const store = await openStore({ ...surroundings, folder: join(folder, 'data'), gateway: 'gw' });
  await store.close();
}

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'gatelog-live-'));
});
afterEach(async () => {
  await agent?.stop();
  agent = undefined;
  await rm(folder, { recursive: true, force: true });
});

test.each([
  [4, false, 0],
  [5, false, 0],
  [5, false, 600],
  [5, true, 600],
] as const)(
  'MQTT %i, Clean Start %j, expiry %i: who wants a session that lasts is asked to come again',
  async (version, clean, seconds) => {
    const live = (agent = await startAgent(configOf('live'), surroundings));
    const port = portOf({ addresses: () => live.addresses() });
    const properties = version === 5 ? { sessionExpiryInterval: seconds } : {};
    const device = await RawDevice.connect(port, version, { clean, properties });
    await device.untilClosed();
    const answer = version === 5 ? { reasonCode: 0x88 } : { returnCode: 3 };
    expect(device.packets).toMatchObject([{ cmd: 'connack', ...answer }]);
    if (version === 5) return;
    await mountDisk();
    await expect.poll(async () => (await live.status()).degraded, { timeout: 20_000 }).toBe(null);
    const again = await RawDevice.connect(port, version, { clean, properties });
    expect(again.last('connack')).toMatchObject({ returnCode: 0 });
    again.close();
  },
);

test('what belongs into no log is acknowledged and delivered, QoS 0 is delivered, the rest is refused', async () => {
  const live = (agent = await startAgent(configOf('live'), surroundings));
  const port = portOf({ addresses: () => live.addresses() });
  const subscriber = await RawDevice.connect(port, 5, { clientId: 'subscriber' });
  subscriber.send({
    cmd: 'subscribe',
    messageId: 1,
    subscriptions: [{ topic: '#', qos: 0 }],
  });
  await subscriber.until(() => subscriber.packets.some(({ cmd }) => cmd === 'suback'));
  const device = await RawDevice.connect(port, 5, { clientId: 'device' });
  const publish = (topic: string, qos: 0 | 1 | 2): void =>
    device.send({
      cmd: 'publish',
      topic,
      payload: 'x',
      qos,
      messageId: 7,
      retain: false,
      dup: false,
    });
  publish('plain/a', 1);
  await device.until(() => device.packets.some(({ cmd }) => cmd === 'puback'));
  publish('logged/a', 0);
  publish('plain/b', 0);
  await subscriber.until(
    () => subscriber.packets.filter(({ cmd }) => cmd === 'publish').length === 3,
  );
  publish('logged/b', 1);
  await device.until(() => device.closed);
  expect(device.packets.filter(({ cmd }) => cmd === 'puback')).toHaveLength(1);
  expect(device.packets.at(-1)).toMatchObject({ cmd: 'disconnect', reasonCode: 0x97 });
  const old = await RawDevice.connect(port, 4, { clientId: 'old' });
  old.send({
    cmd: 'publish',
    topic: 'logged/c',
    payload: 'x',
    qos: 2,
    messageId: 8,
    retain: false,
    dup: false,
  });
  await old.until(() => old.closed);
  expect(old.packets.map(({ cmd }) => cmd)).toEqual(['connack']);
});

test('the status says why, and the agent becomes whole by itself, on the same address', async () => {
  const live = (agent = await startAgent(configOf('live'), surroundings));
  const before = live.addresses();
  const asked = await new ControlClient(join(folder, 'data')).status();
  expect(asked.degraded).toMatch(/holds no gatelog data, and store.mustExist says that it must/u);
  const control = new ControlClient(join(folder, 'data'));
  const refusals = [
    () => control.wholeStatus(),
    () => control.gaps().next(),
    () => control.consume(CONSUME_ALL, 'beginning', new AbortController().signal),
    () => control.steer('central', 'pause', {}),
  ];
  for (const ask of refusals) {
    await expect(ask()).rejects.toMatchObject({
      code: 'STORE_MISSING',
      message: expect.stringMatching(
        /serves without its log and can't tell.*holds no gatelog data/u,
      ) as string,
    });
  }
  await mountDisk();
  await expect.poll(async () => (await live.status()).degraded, { timeout: 20_000 }).toBeNull();
  expect(live.addresses()).toEqual(before);
  const device = await RawDevice.connect(portOf({ addresses: () => live.addresses() }), 5);
  device.send({
    cmd: 'publish',
    topic: 'logged/a',
    payload: 'x',
    qos: 1,
    messageId: 7,
    retain: false,
    dup: false,
  });
  await device.until(() => device.packets.some(({ cmd }) => cmd === 'puback'));
  const whole = await new ControlClient(join(folder, 'data')).status();
  expect(whole).toMatchObject({ degraded: null, store: { recordsAppended: 1 } });
});

test('QoS 0 messages that came meanwhile stand in the ledger once there is one', async () => {
  const live = (agent = await startAgent(configOf('live'), surroundings));
  const device = await RawDevice.connect(portOf({ addresses: () => live.addresses() }), 5);
  for (const topic of ['logged/a', 'logged/b', 'plain/a']) {
    device.send({ cmd: 'publish', topic, payload: 'xy', qos: 0, retain: false, dup: false });
  }
  await expect.poll(async () => (await live.status()).ingest?.dropped).toBe(2);
  await mountDisk();
  await expect.poll(async () => (await live.status()).degraded, { timeout: 20_000 }).toBeNull();
  await live.stop();
  const store = await openStore({ ...surroundings, folder: join(folder, 'data'), gateway: 'gw' });
  const entries = await entriesOf(store);
  await store.close();
  expect(entries).toMatchObject([
    {
      topic: 'telemetry',
      reason: 'pressure',
      records: 2,
      bytes: 4,
      partition: undefined,
      detail: 'QoS 0 messages came while the log could not be written (the log was not open)',
    },
  ]);
});

test('what no ledger was told of is said when it stops', async () => {
  const logger = rememberingLogger();
  const live = await startAgent(configOf('live'), { ...surroundings, logger });
  const device = await RawDevice.connect(portOf({ addresses: () => live.addresses() }), 5);
  device.send({
    cmd: 'publish',
    topic: 'logged/a',
    payload: 'xy',
    qos: 0,
    retain: false,
    dup: false,
  });
  await expect.poll(async () => (await live.status()).ingest?.dropped).toBe(1);
  await live.stop();
  const told = logger.lines.filter(({ fields }) => fields['event'] === 'agent.untold');
  expect(told).toMatchObject([{ level: 'error', fields: { records: 1 } }]);
});

test('processes in a row that ended over the log: devices are served while another one looks', async () => {
  await mountDisk();
  const deaths = { state: LIMITS.deathsBeforeProbe };
  const markers = JSON.stringify({ boot: systemBoot()?.id ?? '', deaths });
  await writeFile(join(folder, 'data', MARKERS_FILE), markers);
  const live = (agent = await startAgent(configOf('live'), surroundings));
  expect((await live.status()).degraded).toMatch(/^\d processes in a row ended while .* was open/u);
  const device = await RawDevice.connect(portOf({ addresses: () => live.addresses() }), 5);
  expect(device.packets[0]).toMatchObject({ cmd: 'connack', reasonCode: 0 });
  await expect.poll(async () => (await live.status()).degraded, { timeout: 60_000 }).toBeNull();
}, 90_000);

test('a person may want it to end instead', async () => {
  await expect(startAgent(configOf('exit'), surroundings)).rejects.toMatchObject({
    code: 'STORE_MISSING',
  });
});

test('stopping while it has no log', async () => {
  const live = await startAgent(configOf('live'), surroundings);
  expect(await live.stop()).toBe(true);
  expect(await live.stop()).toBe(true);
});

test('over HTTP it says that it has no log, and goes on at the same address when it has', async () => {
  const [port = 0] = await freePorts(1);
  const url = `http://127.0.0.1:${port}`;
  const config = { ...configOf('live'), http: { ...NO_HTTP, listen: [url] } };
  const live = (agent = await startAgent(config, surroundings));
  const ready = await fetch(`${url}/readyz`);
  expect(ready.status).toBe(503);
  expect(await ready.json()).toEqual({ status: 'unready', reasons: ['no-log'] });
  expect(await (await fetch(`${url}/metrics`)).text()).toContain('\ngatelog_degraded 1\n');
  expect((await fetch(`${url}/healthz`)).status).toBe(200);
  const topics = await fetch(`${url}/api/v1/topics`);
  expect(await topics.json()).toMatchObject({ status: 503, code: 'STORE_MISSING' });
  await mountDisk();
  const statusNow = async (): Promise<number | undefined> =>
    (await fetch(`${url}/readyz`).catch(() => undefined))?.status;
  await expect.poll(statusNow).toBe(200);
  expect((await live.status()).http).toEqual({ listeners: [url], trouble: null });
});

test('stopping while a start is under way that does not end is not waited for without bound', async () => {
  const clock = new SimClock();
  const started = Promise.withResolvers<void>();
  const hangs = Promise.withResolvers<Agent>();
  const live = await LiveAgent.start(
    configOf('live'),
    { ...surroundings, clock, events: new EventBook(clock) },
    new GatelogError('STORE_FAILING', 'a disk that hangs'),
    () => {
      started.resolve();
      return hangs.promise;
    },
  );
  await clock.advance(LIMITS.storeRetryFirstMs);
  await started.promise;
  const stopped = live.stop();
  await clock.advance(LIMITS.stopMs);
  expect(await stopped).toBe(false);
  hangs.reject(new Error('it ended at last'));
});
