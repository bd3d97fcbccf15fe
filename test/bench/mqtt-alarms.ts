import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connectAsync } from 'mqtt';
import { encodeHeaders } from '../../src/headers.ts';
import { Mirror } from '../../src/mirror/mirror.ts';
import { createMqttUpstream } from '../../src/mirror/mqtt/mqtt-upstream.ts';
import { OwnRecords } from '../../src/mirror/mqtt/own-records.ts';
import { systemRandom } from '../../src/random.ts';
import { streamId } from '../../src/record.ts';
import type { TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { handshakesOf } from '../support/handshakes.ts';
import { startMosquitto } from '../support/mosquitto.ts';
import { SharedLine } from '../support/shared-line.ts';
import { startTcpProxy } from '../support/tcp-proxy.ts';

/**
 * npm run bench:mqtt-alarms [-- SECONDS [QOS [BYTES]]]: a mirror to a Mosquitto over 64 kbit/s and a
 * round trip of 600 ms, with a backlog of the class `bulk` (values of BYTES); an alarm now and then. How
 * long each alarm takes until the broker passes it on (goal: 5 s and its time on the line), and how much of the
 * line the backlog fills.
 */
const SECONDS = Number(process.argv[2] ?? 120);
const QOS = process.argv[3] === '2' ? 2 : 1;
const VALUE_BYTES = Number(process.argv[4] ?? 200);
const BYTES_PER_SECOND = 8000;
const ROUND_TRIP_MS = 600;
const ALARM_EVERY_MS = 7000;

const folder = mkdtempSync(join(tmpdir(), 'gatelog-alarms-'));
const surroundings = { clock: systemClock, random: systemRandom, logger: silentLogger };
const store = await openStore({ folder: join(folder, 'data'), ...surroundings });
const forEver = { durability: 'fsync', retentionMs: undefined, retentionBytes: undefined } as const;
const bulk = store.writer.defineTopic('telemetry', { partitions: 4, ...forEver });
const alarms = store.writer.defineTopic('alarms', { partitions: 1, ...forEver });
const quarantine = store.writer.defineTopic('_quarantine', { partitions: 1, ...forEver });

function append({ streams }: TopicInfo, number: number, mqttTopic: string, value: string): void {
  const stream = streams[number % streams.length] ?? streamId(-1);
  const header = (key: string, text: string) => ({ key, value: Buffer.from(text) });
  const headers = encodeHeaders([
    header('mqtt.topic', mqttTopic),
    header('mqtt.qos', '1'),
    header('mqtt.retain', '0'),
  ]);
  const key = Buffer.from(mqttTopic);
  store.writer.append(stream, Date.now(), key, Buffer.from(value), headers, 'fsync', (error) => {
    if (error !== null) throw error;
  });
}

const mosquitto = await startMosquitto({
  lines: ['allow_anonymous true', 'max_inflight_messages 0', 'max_queued_messages 0'],
});
const proxy = await startTcpProxy({ targetPort: mosquitto.port });
const options = { bytesPerSecond: BYTES_PER_SECOND, roundTripMs: ROUND_TRIP_MS };
const lines = { up: new SharedLine(options), down: new SharedLine(options) };
proxy.setShape({ latencyMs: ROUND_TRIP_MS / 2, lines, queueBytes: 65_536 });
const reader = await connectAsync({ port: mosquitto.port, protocolVersion: 5 });
const waiting = new Map<string, number>();
const delays: number[] = [];
let arrived = 0;
reader.on('message', (topic, payload) => {
  if (!topic.startsWith('alarm/')) {
    arrived++;
    return;
  }
  const sentMs = waiting.get(payload.toString());
  if (sentMs !== undefined) delays.push(performance.now() - sentMs);
});
await reader.subscribeAsync('#', { qos: 0 });

const count = Math.ceil((BYTES_PER_SECOND * SECONDS * 2) / VALUE_BYTES);
for (let number = 0; number < count; number++) {
  append(bulk, number, `plant/line/${number % 20}`, String(number).padEnd(VALUE_BYTES, 'x'));
}
const positions = await store.positions('up', { pins: true });
const { incarnation } = store.identity;
const parts = { gateway: 'gw', incarnation, clock: systemClock, logger: silentLogger };
const mirror = new Mirror({
  ...parts,
  name: 'up',
  reader: store.reader,
  positions,
  ledger: store.ledger,
  quarantine: { writer: store.writer, topic: quarantine },
  decisions: store.keyValue('mirror.up'),
  sampled: store.keyValue('sampled.up'),
  upstream: createMqttUpstream({
    ...parts,
    url: `mqtt://127.0.0.1:${proxy.port}`,
    qos: QOS,
    own: new OwnRecords(store.keyValue('mqtt'), store.reader),
    handshakes: handshakesOf(store.keyValue('mqtt-mirror'), store.reader, positions),
  }),
  topics: [
    { match: 'alarms', class: 'alarm', drain: 'backlog-first' },
    { match: '*', class: 'bulk', drain: 'backlog-first' },
  ],
  random: systemRandom,
});
await mirror.start();
const startMs = performance.now();
let alarm = 0;
while (performance.now() - startMs < SECONDS * 1000) {
  await systemClock.sleep(ALARM_EVERY_MS);
  const text = `alarm ${alarm++}`;
  waiting.set(text, performance.now());
  append(alarms, 0, 'alarm/a', text);
}
await systemClock.sleep(10_000);
const seconds = (performance.now() - startMs) / 1000;
const share = lines.up.bytes / seconds / BYTES_PER_SECOND;
const said = delays.map((ms) => (ms / 1000).toFixed(1)).join(' ');
console.log(
  `QoS ${QOS}, values of ${VALUE_BYTES} B: ${delays.length} of ${alarm} alarms, after seconds: ${said}`,
);
console.log(
  `backlog: ${arrived} records passed on, ${share.toFixed(2)} of the line filled, ${mirror.status().reconnects} reconnects, ${mirror.status().lastError?.text ?? 'no error'}`,
);
await mirror.stop();
await reader.endAsync(true);
await proxy.close();
await mosquitto.stop();
await store.close();
rmSync(folder, { recursive: true, force: true });
process.exit(0);
