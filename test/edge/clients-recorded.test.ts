import { afterEach, beforeEach, expect, test } from 'vitest';
import { Gateway } from '../support/gateway.ts';
import { freePorts } from '../support/ports.ts';
import { RecordedDevice, type Recording, type Said } from '../support/recorded-device.ts';

/**
 * What firmwares say at their start and while they run, packet for packet, written from their public
 * documentation and sources; what each expects back, and what stands in the log.
 */
let gateway: Gateway;
let port: number;
beforeEach(async () => {
  gateway = new Gateway();
  [port = 0] = await freePorts(1);
  await gateway.start(
    `  listen: ["mqtt://127.0.0.1:${port}"]\n` +
      `  users: [{username: DVES_USER, password: DVES_PASS}, {username: home, password: sweet}]\n` +
      `  acl:\n    - {users: [home], publish: ["#"], subscribe: ["#"]}\n` +
      `    - users: [DVES_USER]\n` +
      `      publish: ["tele/#", "stat/#", "tasmota/discovery/#", "cmnd/+/POWER"]\n` +
      `      subscribe: ["cmnd/#"]\n`,
  );
});
afterEach(() => gateway.remove());

const HOME = { username: 'home', password: Buffer.from('sweet') };

function will(topic: string, payload: string, qos: 0 | 1, retain: boolean): object {
  return { will: { topic, payload: Buffer.from(payload), qos, retain } };
}

function said(topic: string, payload: string, retain = false, qos: 0 | 1 = 0): { publish: Said } {
  return { publish: { topic, payload, retain, qos } };
}

async function logged(): Promise<string[]> {
  const messages = await gateway.logged();
  return messages.map(({ topic, value, retain }) => {
    const text = value.length > 200 ? `${value.length} bytes` : value;
    return `${topic} ${text}${retain === '1' ? ' (retained)' : ''}`.trimEnd();
  });
}

/** Home Assistant (paho-mqtt, 3.1.1): reads discovery, then says that it is there. */
const HOME_ASSISTANT: Recording = {
  connect: {
    ...HOME,
    clientId: '1Sj4lqXyNqYYO1MxWXyWdv',
    keepalive: 60,
    ...will('homeassistant/status', 'offline', 0, false),
  },
  steps: [
    { subscribe: ['homeassistant/#'] },
    { subscribe: ['tele/+/LWT', 'tasmota/discovery/#'] },
    { subscribe: ['zigbee2mqtt/bridge/state', 'livingroom/status'] },
    said('homeassistant/status', 'online'),
  ],
};

/** Tasmota 13 (PubSubClient): a clean session, its last will at QoS 1, everything else at 0. */
const TASMOTA: Recording = {
  connect: {
    clientId: 'DVES_8A3F1C',
    username: 'DVES_USER',
    password: Buffer.from('DVES_PASS'),
    keepalive: 30,
    ...will('tele/tasmota_8A3F1C/LWT', 'Offline', 1, true),
  },
  steps: [
    said('tele/tasmota_8A3F1C/LWT', 'Online', true),
    // Clears a command that somebody retained.
    said('cmnd/tasmota_8A3F1C/POWER', ''),
    { subscribe: ['cmnd/tasmota_8A3F1C/#'] },
    { subscribe: ['cmnd/tasmotas/#'] },
    { subscribe: ['cmnd/DVES_8A3F1C_fb/#'] },
    said('tele/tasmota_8A3F1C/INFO1', '{"Info1":{"Module":"Sonoff Basic","Version":"13.4.0"}}'),
    said('tasmota/discovery/4C11AE8A3F1C/config', '{"ip":"10.0.0.9","dn":"Lamp"}', true),
    said('tele/tasmota_8A3F1C/STATE', '{"POWER":"OFF","Wifi":{"RSSI":78}}'),
  ],
};

test('Tasmota: its last will takes turns with its birth, and commands come', async () => {
  const home = await RecordedDevice.play(port, HOME_ASSISTANT);
  const plug = await RecordedDevice.play(port, TASMOTA);
  expect(plug.heard()).toEqual([]);
  await home.publish({ topic: 'cmnd/tasmota_8A3F1C/POWER', payload: 'TOGGLE' });
  await plug.raw.until(() => plug.heard().length === 1);
  expect(plug.heard()).toEqual(['cmnd/tasmota_8A3F1C/POWER TOGGLE']);
  await plug.publish({ topic: 'stat/tasmota_8A3F1C/RESULT', payload: '{"POWER":"ON"}' });
  await plug.publish({ topic: 'stat/tasmota_8A3F1C/POWER', payload: 'ON' });
  await plug.raw.ping();
  await plug.vanish();
  await home.raw.until(() => home.heard().some((line) => line.includes('Offline')));
  expect(home.heard().filter((line) => line.includes('LWT'))).toEqual([
    'tele/tasmota_8A3F1C/LWT Online',
    'tele/tasmota_8A3F1C/LWT Offline',
  ]);
  // Home Assistant starts anew, and knows what is there and what is not.
  await home.vanish();
  const again = await RecordedDevice.play(port, HOME_ASSISTANT);
  const kept = (): string[] => again.heard().filter((line) => line.includes('(retained)'));
  await again.raw.until(() => kept().length === 2);
  expect(kept().toSorted().toReversed()).toEqual([
    'tele/tasmota_8A3F1C/LWT Offline (retained)',
    'tasmota/discovery/4C11AE8A3F1C/config {"ip":"10.0.0.9","dn":"Lamp"} (retained)',
  ]);
  await expect
    .poll(logged)
    .toEqual([
      'homeassistant/status online',
      'tele/tasmota_8A3F1C/LWT Online (retained)',
      'cmnd/tasmota_8A3F1C/POWER',
      'tele/tasmota_8A3F1C/INFO1 {"Info1":{"Module":"Sonoff Basic","Version":"13.4.0"}}',
      'tasmota/discovery/4C11AE8A3F1C/config {"ip":"10.0.0.9","dn":"Lamp"} (retained)',
      'tele/tasmota_8A3F1C/STATE {"POWER":"OFF","Wifi":{"RSSI":78}}',
      'cmnd/tasmota_8A3F1C/POWER TOGGLE',
      'stat/tasmota_8A3F1C/RESULT {"POWER":"ON"}',
      'stat/tasmota_8A3F1C/POWER ON',
      'tele/tasmota_8A3F1C/LWT Offline (retained)',
      'homeassistant/status offline',
      'homeassistant/status online',
    ]);
});

/** ESPHome: a session that lasts, birth and will at QoS 0, discovery retained. */
const SENSOR = 'homeassistant/sensor/livingroom/temperature/config';
const RELAY = 'homeassistant/switch/livingroom/relay/config';
const ESPHOME: Recording = {
  connect: {
    ...HOME,
    clientId: 'livingroom-4c11ae8a3f1c',
    clean: false,
    keepalive: 15,
    ...will('livingroom/status', 'offline', 0, true),
  },
  steps: [
    said('livingroom/status', 'online', true),
    { subscribe: ['esphome/discover'] },
    { subscribe: ['esphome/ping/livingroom'] },
    said('esphome/discover/livingroom', '{"ip":"10.0.0.8","name":"livingroom"}', true),
    said(SENSOR, '{"name":"Temperature","stat_t":"livingroom/sensor/temperature/state"}', true),
    said(RELAY, '{"name":"Relay","cmd_t":"livingroom/switch/relay/command"}', true),
    { subscribe: ['livingroom/switch/relay/command'] },
    said('livingroom/switch/relay/state', 'OFF', true),
    said('livingroom/sensor/temperature/state', '21.5', true, 1),
  ],
};

function discovered(home: RecordedDevice): boolean {
  const configs = home.heard().filter((line) => line.includes('/config '));
  return configs.length === 2 && home.heard().includes('livingroom/status online (retained)');
}

test('ESPHome: discovery, commands, and a session over a kill of the agent', async () => {
  const node = await RecordedDevice.play(port, ESPHOME);
  const home = await RecordedDevice.play(port, HOME_ASSISTANT);
  await home.raw.until(() => discovered(home));
  await home.publish({ topic: 'livingroom/switch/relay/command', payload: 'ON', qos: 1 });
  await node.raw.until(() => node.heard().includes('livingroom/switch/relay/command ON'));
  await gateway.restart('kill');
  const back = await RecordedDevice.play(port, ESPHOME);
  expect(back.raw.last('connack')).toMatchObject({ sessionPresent: true, returnCode: 0 });
  const again = await RecordedDevice.play(port, HOME_ASSISTANT);
  await again.raw.until(() => discovered(again));
  const lines = await logged();
  expect(lines.filter((line) => line === 'livingroom/status online (retained)')).toHaveLength(2);
  expect(lines).toContain('livingroom/switch/relay/command ON');
  const state = 'livingroom/sensor/temperature/state 21.5 (retained)';
  expect(lines.filter((line) => line === state)).toHaveLength(2);
});

/** Zigbee2MQTT (MQTT.js): hears all that it says itself, and says its list of devices, which is large. */
const DEVICES = JSON.stringify(
  Array.from({ length: 300 }, (_, index) => ({
    ieee_address: `0x00158d00${index.toString(16).padStart(8, '0')}`,
    definition: { model: 'WSDCGQ11LM', vendor: 'Aqara', description: 'x'.repeat(400) },
  })),
);
const BASE = 'zigbee2mqtt';
const ZIGBEE: Recording = {
  connect: {
    ...HOME,
    clientId: 'mqttjs_1a2b3c4d',
    keepalive: 60,
    ...will(`${BASE}/bridge/state`, '{"state":"offline"}', 1, true),
  },
  steps: [
    said(`${BASE}/bridge/state`, '{"state":"online"}', true),
    { subscribe: [`${BASE}/#`] },
    said(`${BASE}/bridge/info`, '{"version":"2.1.0","permit_join":false}', true),
    said(`${BASE}/bridge/devices`, DEVICES, true),
    said(`${BASE}/kitchen/availability`, '{"state":"online"}', true),
    said(`${BASE}/kitchen`, '{"temperature":27.3,"humidity":44.7}'),
  ],
};

test('Zigbee2MQTT: retained lists of more than 100 kB, availability, commands', async () => {
  expect(DEVICES.length).toBeGreaterThan(100_000);
  const list = `${BASE}/bridge/devices ${DEVICES.length} bytes`;
  const bridge = await RecordedDevice.play(port, ZIGBEE);
  const reading = `${BASE}/kitchen {"temperature":27.3,"humidity":44.7}`;
  await bridge.raw.until(() => bridge.heard().includes(reading));
  expect(bridge.heard()).toContain(list);
  const home = await RecordedDevice.play(port, HOME_ASSISTANT);
  const online = `${BASE}/bridge/state {"state":"online"} (retained)`;
  await home.raw.until(() => home.heard().includes(online));
  await home.publish({ topic: `${BASE}/kitchen/set`, payload: '{"state":"ON"}', qos: 1 });
  await bridge.raw.until(() => bridge.heard().includes(`${BASE}/kitchen/set {"state":"ON"}`));
  await bridge.vanish();
  const gone = `${BASE}/bridge/state {"state":"offline"}`;
  await home.raw.until(() => home.heard().includes(gone));
  // Its acknowledgement stands on what was retained before.
  await home.publish({ topic: 'homeassistant/x', payload: 'x', qos: 1, retain: true });
  await gateway.restart('kill');
  const page = await RecordedDevice.play(port, {
    connect: { ...HOME, clientId: 'page' },
    steps: [{ subscribe: [`${BASE}/bridge/#`] }],
  });
  await page.raw.until(() => page.heard().length >= 3);
  expect(page.heard().toSorted()).toEqual([
    `${list} (retained)`,
    `${BASE}/bridge/info {"version":"2.1.0","permit_join":false} (retained)`,
    `${gone} (retained)`,
  ]);
  expect(await logged()).toContain(`${list} (retained)`);
});
