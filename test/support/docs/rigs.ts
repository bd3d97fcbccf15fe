import path from 'node:path';

/** What a document takes for granted when its blocks are run: an agent with a record and a mirror, mostly. */
export interface Rig {
  /** Of the agent. */
  readonly config: string;
  /** Commands before the document's own, after the agent is up. */
  readonly before: readonly string[];
}

const ROOT = path.join(import.meta.dirname, '../../..');
const PASSWORD = 'choose-a-long-one';
const CERTIFICATE = 'cert: server.pem, key: server.key';
const FIRST = 'mosquitto_pub -q 1 -t plant/press-1 -m 1\n';

const MQTT = 'mqtt: {listen: ["mqtt://127.0.0.1:1883"]}';
const KAFKA = 'mirrors: {central: {kafka: {brokers: ["kafka-1:9092"]}}}';

const USUAL: Rig = { config: lines(MQTT, KAFKA), before: [FIRST] };

const OTHERS: Readonly<Record<string, Partial<Rig>>> = {
  // Where records wait for a link that there is not.
  'docs/carrying.md': {
    config: lines(MQTT, 'mirrors: {central: {kafka: {brokers: ["127.0.0.1:1"]}}}'),
  },
  'docs/devices.md': {
    config: lines(
      'mqtt:',
      '  listen:',
      '    - mqtt://127.0.0.1:1883',
      '    - mqtts://127.0.0.1:8883',
      '    - wss://127.0.0.1:8084/mqtt',
      '    - url: mqtts://127.0.0.1:8884',
      `      tls: {${CERTIFICATE}, ca: ca.pem, requireCertificate: true, user: cn}`,
      `  tls: {${CERTIFICATE}}`,
      `  users: [{username: press-1, password: ${PASSWORD}}]`,
    ),
    before: [],
  },
  'docs/fleet.md': {
    config: lines(MQTT, KAFKA, 'metrics: {interval: 5s}'),
    before: [
      'until gatelog fleet --kafka kafka-1:9092 --json | grep -q gw-1; do sleep 0.5; done\n',
    ],
  },
  'docs/http.md': {
    config: lines(
      MQTT,
      KAFKA,
      'http: {listen: ["http://127.0.0.1:9680"], adminToken: "${file:http-admin-token}"}',
    ),
  },
  // What a mirror is told to send again `gatelog verify` of other documents is not to find.
  'docs/operations.md': {
    config: lines(
      MQTT,
      'mirrors: {central: {kafka: {brokers: ["kafka-1:9092"], topic: "operations.{topic}"}}}',
    ),
  },
  'docs/once.md': {
    config: lines(
      'mqtt:',
      '  listen: ["mqtt://127.0.0.1:1883"]',
      '  dedup: {producerProperty: producer, sequenceProperty: seq}',
      KAFKA,
    ),
  },
};

export function rigOf(file: string): Rig {
  return { ...USUAL, ...OTHERS[file] };
}

/** Of programs that are shown in part: what stands around that part. `shown` is where it goes. */
export const AROUND: Readonly<Record<string, string>> = {
  'docs/devices.md python': lines(
    'import paho.mqtt.client as mqtt',
    '{shown}',
    'client.publish("press-1/a", "1", qos=1).wait_for_publish(10)',
    'assert client.is_connected()',
  ),
  'docs/devices.md js': lines(
    'import { createRequire } from "node:module";',
    `const mqtt = createRequire("${ROOT}/package.json")("mqtt");`,
    '{shown}',
    'await client.publishAsync("press-1/a", "1", { qos: 1 });',
    'await client.endAsync();',
  ),
  'docs/once.md python': lines(
    'kept = {1: "42", 2: "43"}',
    'stored = lambda: list(kept.items())',
    'forget = kept.pop',
    '{shown}',
    'assert not kept',
  ),
};

function lines(...all: readonly string[]): string {
  return `${all.join('\n')}\n`;
}
