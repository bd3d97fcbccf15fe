import { connectAsync, type IClientOptions, type MqttClient } from 'mqtt';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Gateway } from '../support/gateway.ts';
import { freePorts } from '../support/ports.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';

/** MQTT.js in Node at a real agent that is killed under it: as Node-RED and Zigbee2MQTT are. */
let gateway: Gateway;
beforeEach(() => {
  gateway = new Gateway();
});
afterEach(() => gateway.remove());

const VERSIONS = [4, 5] as const;

interface Device {
  readonly name: string;
  readonly client: MqttClient;
  readonly heard: string[];
  /** Session present, of each CONNACK after the first. */
  readonly resumed: boolean[];
}

async function device(name: string, url: string, version: 4 | 5): Promise<Device> {
  const options: IClientOptions = {
    clientId: name,
    clean: false,
    protocolVersion: version,
    rejectUnauthorized: false,
    reconnectPeriod: 100,
  };
  const lasting = version === 5 ? { properties: { sessionExpiryInterval: 600 } } : {};
  const client = await connectAsync(url, { ...options, ...lasting });
  const heard: string[] = [];
  const resumed: boolean[] = [];
  client.on('message', (_, payload) => heard.push(payload.toString()));
  client.on('connect', ({ sessionPresent }) => resumed.push(sessionPresent));
  await client.subscribeAsync(`dev/${name}/#`, { qos: 2 });
  return { name, client, heard, resumed };
}

test('tcp, ws and wss, 3.1.1 and 5, with sessions over a SIGKILL: QoS 2 once, in order', async () => {
  await makeServerCertificate(gateway.folder, 'server', 90);
  const ports = await freePorts(3);
  const [tcp, ws, wss] = ports.map((port) => `127.0.0.1:${port}`);
  const urls = [`mqtt://${tcp}`, `ws://${ws}/mqtt`, `wss://${wss}/mqtt`];
  const tls = '  tls: {cert: server.pem, key: server.key}\n';
  await gateway.start(`  listen: ${JSON.stringify(urls)}\n${tls}`);
  const devices = await Promise.all(
    VERSIONS.flatMap((version) =>
      urls.map((url, at) => device(`${['tcp', 'ws', 'wss'][at]}-${version}`, url, version)),
    ),
  );
  const texts = Array.from({ length: 60 }, (_, index) => `m${index}`);
  const half = texts.length / 2;
  const say = ({ name, client }: Device, part: readonly string[]): Promise<unknown> =>
    Promise.all(part.map((text) => client.publishAsync(`dev/${name}/a`, text, { qos: 2 })));
  try {
    await Promise.all(devices.map((one) => say(one, texts.slice(0, half))));
    // Under way while the agent dies, and while there is none.
    const rest = Promise.all(devices.map((one) => say(one, texts.slice(half))));
    await gateway.end('kill');
    await gateway.again();
    await rest;
    await expect.poll(() => devices.map(({ heard }) => heard)).toEqual(devices.map(() => texts));
    for (const { resumed } of devices) expect(resumed.at(-1)).toBe(true);
  } finally {
    for (const { client } of devices) await client.endAsync(true);
  }
  const logged = await gateway.logged();
  for (const { name } of devices) {
    const own = logged.filter(({ topic }) => topic === `dev/${name}/a`);
    expect(own.map(({ value }) => value)).toEqual(texts);
  }
});
