import { connectAsync, type IPublishPacket, type MqttClient } from 'mqtt';
import { afterEach, describe, expect, test } from 'vitest';
import { decodeHeaders } from '../../src/headers.ts';
import type { KeptRecord } from '../support/memory-writer.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { runChecked, type Running, runProcess, startProcess } from '../support/process.ts';

/** Real device clients: Mosquitto's command line tools (libmosquitto) and MQTT.js. */
const clients: MqttClient[] = [];
const running: Running[] = [];

afterEach(async () => {
  for (const client of clients.splice(0)) await client.endAsync(true);
  for (const process of running.splice(0)) await process.kill();
  await stopTestBrokers();
});

function words(text: string): string[] {
  return text.split(' ');
}

function headersOf(record: KeptRecord | undefined): [string, string][] {
  const headers = decodeHeaders(record?.headers ?? new Uint8Array());
  return headers.map(({ key, value }) => [key, Buffer.from(value ?? []).toString()]);
}

const VERSIONS = { '3.1': 'mqttv31', '3.1.1': 'mqttv311', '5': 'mqttv5' } as const;

describe.each(Object.entries(VERSIONS))(
  'mosquitto_pub and mosquitto_sub, MQTT %s',
  (_, version) => {
    const pub = (port: number, ...args: string[]): Promise<unknown> =>
      runChecked({
        command: 'mosquitto_pub',
        args: ['-h', '127.0.0.1', '-p', String(port), '-V', version, ...args],
      });

    test.each(['0', '1', '2'])('a publish at QoS %s is in the log', async (qos) => {
      const { port, writer } = await startTestBroker();
      await pub(port, '-i', 'tool', '-t', 'plant/1/temp', '-q', qos, '-m', '21.5');
      await expect.poll(() => writer.values()).toEqual(['21.5']);
      expect(headersOf(writer.records[0])).toEqual([
        ['mqtt.topic', 'plant/1/temp'],
        ['mqtt.qos', qos],
        ['mqtt.retain', '0'],
      ]);
    });

    test('lines of standard input, in order', async () => {
      const { port, writer } = await startTestBroker();
      const lines = Array.from({ length: 500 }, (_unused, index) => `line ${index}`);
      await runChecked({
        command: 'mosquitto_pub',
        args: ['-h', '127.0.0.1', '-p', String(port), '-V', version, '-t', 'a', '-q', '1', '-l'],
        input: `${lines.join('\n')}\n`,
      });
      expect(writer.values()).toEqual(lines);
    });

    test('mosquitto_sub gets live and retained messages', async () => {
      const { port } = await startTestBroker();
      await pub(port, '-t', 'a/kept', '-q', '1', '-r', '-m', 'kept');
      const sub = await startProcess({
        command: 'mosquitto_sub',
        args: ['-h', '127.0.0.1', '-p', String(port), '-V', version, '-t', 'a/#', '-q', '2', '-v'],
      });
      running.push(sub);
      await sub.waitFor(/a\/kept kept/u);
      await pub(port, '-t', 'a/live', '-q', '2', '-m', 'live');
      const [line] = await sub.waitFor(/a\/live .*/u);
      expect(line).toBe('a/live live');
    });

    test('a will', async () => {
      const { port, writer } = await startTestBroker();
      await pub(port, ...words('-t ready -q 1 -r -m now'));
      const sub = await startProcess({
        command: 'mosquitto_sub',
        args: [
          ...words(`-h 127.0.0.1 -p ${port} -V ${version} -i mortal -t ready`),
          ...words('--will-topic wills/mortal --will-payload gone --will-qos 1'),
        ],
      });
      running.push(sub);
      await sub.waitFor(/now/u);
      await sub.kill();
      await expect.poll(() => writer.values()).toEqual(['now', 'gone']);
    });

    test('wrong credentials are told in words', async () => {
      const users = [{ username: 'pump', password: 'secret' }];
      const { port } = await startTestBroker({ users });
      const at = ['-h', '127.0.0.1', '-p', String(port), '-V', version, '-t', 'a', '-m', 'x'];
      const anonymous = await runProcess({ command: 'mosquitto_pub', args: at });
      expect(anonymous.code).not.toBe(0);
      expect(anonymous.stderr).toMatch(/not authori[sz]ed/iu);
      const wrong = await runProcess({
        command: 'mosquitto_pub',
        args: [...at, '-u', 'pump', '-P', 'guess'],
      });
      expect(wrong.code).not.toBe(0);
      expect(wrong.stderr).toMatch(/bad user name or password/iu);
      await runChecked({ command: 'mosquitto_pub', args: [...at, '-u', 'pump', '-P', 'secret'] });
    });
  },
);

test('mosquitto_pub with MQTT 5 properties', async () => {
  const { port, writer } = await startTestBroker();
  await runChecked({
    command: 'mosquitto_pub',
    args: [
      ...words(`-h 127.0.0.1 -p ${port} -V mqttv5 -t a -q 1 -m {}`),
      ...words('-D publish content-type application/json -D publish response-topic r/t'),
      ...words('-D publish correlation-data c1 -D publish payload-format-indicator 1'),
      ...words('-D publish user-property unit C -D publish user-property site north'),
      ...words('-D publish user-property unit K'),
    ],
  });
  expect(headersOf(writer.records[0])).toEqual([
    ['mqtt.topic', 'a'],
    ['mqtt.qos', '1'],
    ['mqtt.retain', '0'],
    ['mqtt.content-type', 'application/json'],
    ['mqtt.response-topic', 'r/t'],
    ['mqtt.correlation-data', 'c1'],
    ['mqtt.payload-format', '1'],
    ['unit', 'C'],
    ['site', 'north'],
    ['unit', 'K'],
  ]);
});

describe.each([4, 5] as const)('MQTT.js, protocol version %i', (protocolVersion) => {
  async function device(url: string, clientId: string): Promise<MqttClient> {
    const client = await connectAsync(url, { protocolVersion, clientId, reconnectPeriod: 50 });
    clients.push(client);
    return client;
  }

  test('many messages at every QoS, each device’s in order', async () => {
    const { url, writer } = await startTestBroker();
    const sent = Array.from({ length: 300 }, (_, index) => `m${index}`);
    const names = ['one', 'two', 'three'];
    await Promise.all(
      names.map(async (name, index) => {
        const client = await device(url, name);
        const qos = index as 0 | 1 | 2;
        await Promise.all(sent.map((text) => client.publishAsync(`dev/${name}`, text, { qos })));
      }),
    );
    await expect.poll(() => writer.records.length).toBe(900);
    for (const name of names) {
      const own = writer.records.filter(
        (record) => Buffer.from(record.key ?? []).toString() === `dev/${name}`,
      );
      expect(own.map((record) => Buffer.from(record.value ?? []).toString())).toEqual(sent);
    }
  });

  test('a device whose append failed connects again and sends its copy', async () => {
    const { url, writer } = await startTestBroker();
    const client = await device(url, 'stubborn');
    writer.fail();
    const done = client.publishAsync('a', 'kept', { qos: 1 });
    await new Promise((resolve) => {
      client.once('close', () => resolve(undefined));
    });
    expect(writer.records).toEqual([]);
    writer.mend();
    await done;
    expect(writer.values()).toEqual(['kept']);
  });

  test('QoS 2 over a broken connection: once in the log', async () => {
    const { url, writer } = await startTestBroker();
    const client = await connectAsync(url, {
      protocolVersion,
      clientId: 'twice',
      clean: false,
      reconnectPeriod: 50,
      ...(protocolVersion === 5 ? { properties: { sessionExpiryInterval: 600 } } : {}),
    });
    clients.push(client);
    writer.hold();
    const done = client.publishAsync('a', 'once', { qos: 2 });
    await expect.poll(() => writer.waiting).toBe(1);
    client.stream.destroy();
    // The resend waits for the same record. (MQTT.js says `connect` only after it is settled.)
    await expect.poll(() => writer.waiting).toBe(2);
    writer.resume();
    await done;
    expect(writer.values()).toEqual(['once']);
  });

  test('subscriptions of every QoS, wildcard and exact', async () => {
    const { url } = await startTestBroker();
    const heard: [string, string, number][] = [];
    const client = await device(url, 'ears');
    client.on('message', (topic: string, payload: Buffer, packet: IPublishPacket) => {
      heard.push([topic, payload.toString(), packet.qos]);
    });
    await client.subscribeAsync({ 'a/+': { qos: 2 }, 'b/#': { qos: 1 }, c: { qos: 0 } });
    const mouth = await device(url, 'mouth');
    for (const topic of ['a/1', 'b/2/3', 'c', 'd']) {
      await mouth.publishAsync(topic, topic, { qos: 2 });
    }
    await expect.poll(() => heard.length).toBe(3);
    expect(heard.toSorted(([left], [right]) => left.localeCompare(right))).toEqual([
      ['a/1', 'a/1', 2],
      ['b/2/3', 'b/2/3', 1],
      ['c', 'c', 0],
    ]);
  });
});
