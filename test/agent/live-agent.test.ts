import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { ControlClient } from '../../src/admin/control-client.ts';
import { startAgent } from '../../src/agent/agent.ts';
import type { Agent } from '../../src/agent/agent-types.ts';
import { defaultConfig } from '../../src/agent/config.ts';
import type { Config } from '../../src/agent/config-types.ts';
import { seededRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

/** Without a log: what is delivered, what is not acknowledged, and the way back to a whole agent. */
let folder: string;
let agent: Agent | undefined;

const surroundings = {
  clock: systemClock,
  random: seededRandom(1),
  logger: silentLogger,
  version: 'test',
};

/** A data folder whose disk is not mounted; only what begins with `logged/` belongs into the log. */
function configOf(whenUnavailable: 'live' | 'exit'): Config {
  const config = defaultConfig({ env: {}, workingFolder: folder });
  return {
    ...config,
    gateway: 'gw',
    data: join(folder, 'data'),
    mqtt: { ...config.mqtt, listen: ['mqtt://127.0.0.1:0'] },
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
