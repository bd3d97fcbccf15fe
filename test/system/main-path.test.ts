import { expect, test } from 'vitest';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { Gateway } from '../support/hunt/gateway.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { consoleConsume, dumpLogSegments, kcatConsume } from '../support/kafka/tools.ts';

/** The main path, end to end: mosquitto_pub → agent → Kafka, seen by kcat and by Kafka's tools. */
const kafka = KafkaOfFile.open();

test('a device publishes; key, value and headers arrive in Kafka, once, as outside tools see it', async () => {
  await inWorkFolder('main-path', async (folder) => {
    const gateway = await Gateway.make({
      folder,
      name: 'main',
      cluster: kafka.cluster,
      listener: 'sasl',
    });
    await gateway.grant(kafka.cluster);
    await gateway.start();
    try {
      await gateway.ready();
      await gateway.publish('plant/a/temperature', ['21.5', '21.6', '{"t":21.7}']);
      await gateway.publish(
        'alarms/door',
        ['open'],
        ['-V', 'mqttv5', '-r', ...property('content-type', 'text/plain'), ...userProperties],
      );
      await gateway.mirrored(60_000);

      const telemetry = await kcatConsume(kafka.cluster, gateway.centralTopic('telemetry'));
      expect(telemetry.map(({ key, value }) => [key, value])).toEqual([
        ['plant/a/temperature', '21.5'],
        ['plant/a/temperature', '21.6'],
        ['plant/a/temperature', '{"t":21.7}'],
      ]);
      expect(new Set(telemetry.map(({ partition }) => partition)).size).toBe(1);
      const identity = /^main\/[0-9a-f]{16}\/telemetry\/[0-5]\/0$/u;
      expect(telemetry[0]?.headers).toEqual([
        ['mqtt.topic', 'plant/a/temperature'],
        ['mqtt.qos', '1'],
        ['mqtt.retain', '0'],
        ['gatelog.id', expect.stringMatching(identity)],
      ]);

      const [alarm, ...more] = await consoleConsume(kafka.cluster, gateway.centralTopic('alarms'));
      expect(more).toEqual([]);
      expect(alarm).toMatchObject({ key: 'alarms/door', value: 'open' });
      expect(alarm?.headers.slice(0, -1)).toEqual([
        ['mqtt.topic', 'alarms/door'],
        ['mqtt.qos', '1'],
        ['mqtt.retain', '1'],
        ['mqtt.content-type', 'text/plain'],
        ['site', 'north'],
        ['site', 'east'],
        ['user.gatelog.id', 'forged'],
      ]);

      // On the broker's disk: one transactional batch, compressed, and its commit marker.
      const { partition = 0 } = alarm ?? {};
      const dump = await dumpLogSegments(
        kafka.cluster,
        1,
        gateway.centralTopic('alarms'),
        partition,
      );
      expect(dump).toMatch(/isTransactional: true .* compresscodec: zstd .* isvalid: true/u);
      expect(dump).toMatch(/headerKeys: \[mqtt.topic,mqtt.qos,.*,gatelog.id\]/u);
      expect(dump).toMatch(/endTxnMarker: COMMIT/u);
      expect(dump.match(/payload: open/gu)).toHaveLength(1);

      const brokers = kafka.cluster.bootstrap('plaintext').join(',');
      const topics = gateway.centralTopics().flatMap((topic) => ['--topic', topic]);
      const verified = await runGatelog(['verify', '--kafka', brokers, ...topics, '--json']);
      expect(verified.stderr).toBe('');
      expect(verified.code).toBe(0);
      await gateway.agent.stop();
    } finally {
      await gateway.end();
    }
  });
});

function property(name: string, ...values: readonly string[]): string[] {
  return ['-D', 'publish', name, ...values];
}

const userProperties = [
  ...property('user-property', 'site', 'north'),
  ...property('user-property', 'site', 'east'),
  ...property('user-property', 'gatelog.id', 'forged'),
];
