import { hostname } from 'node:os';
import { LIMITS } from '../limits.ts';

/** The forms that names, topics and addresses must have, and the words that say so. */
const NAME = new RegExp(`^[A-Za-z0-9._-]{1,${LIMITS.nameBytes}}$`, 'u');
const TOPIC = new RegExp(`^(?!_|\\.{1,2}$)[A-Za-z0-9._-]{1,${LIMITS.topicNameBytes}}$`, 'u');
const HOST_PORT = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5})$/u;
const CRON = /^\s*[\d*/,\-A-Za-z]+(?:\s+[\d*/,\-A-Za-z]+){4}\s*$/u;

export const NAME_EXPECTED: string = `a name of letters, digits, ".", "_" and "-", at most ${LIMITS.nameBytes} characters`;
export const TOPIC_EXPECTED: string = `a topic name of letters, digits, ".", "_" and "-", at most ${LIMITS.topicNameBytes} characters, not beginning with "_"`;
export const LISTEN_EXPECTED: string =
  'an address such as mqtt://127.0.0.1:1883 (or mqtts, ws, wss, unix:///PATH)';
export const MQTT_UPSTREAM_EXPECTED: string =
  'an address such as mqtts://central.example.com:8883 or wss://central.example.com/mqtt, without user and password';
export const BROKER_EXPECTED: string = 'an address such as kafka-1.example.com:9092';

export function isName(value: string): boolean {
  return NAME.test(value);
}

/** Topics beginning with `_` are the product's own. */
export function isTopicName(value: string): boolean {
  return TOPIC.test(value);
}

export function isHostPort(value: string): boolean {
  const port = HOST_PORT.exec(value)?.[1];
  return port !== undefined && Number(port) >= 1 && Number(port) <= 65_535;
}

/** `SCHEME://HOST[:PORT]` with nothing behind. */
function isAddress(schemes: readonly string[], value: string): boolean {
  const parsed = URL.parse(value);
  if (parsed === null || !schemes.includes(parsed.protocol)) return false;
  if (parsed.hostname === '' || parsed.username !== '' || parsed.password !== '') return false;
  return ['', '/'].includes(parsed.pathname) && parsed.search === '' && parsed.hash === '';
}

/** With any path, for that is the far side's to choose. */
function isWebSocketAddress(value: string): boolean {
  const parsed = URL.parse(value);
  if (parsed === null || !['ws:', 'wss:'].includes(parsed.protocol)) return false;
  const { username, password, hash } = parsed;
  return parsed.hostname !== '' && username === '' && password === '' && hash === '';
}

export function isMqttUpstream(value: string): boolean {
  return isAddress(['mqtt:', 'mqtts:'], value) || isWebSocketAddress(value);
}

/** Of a data folder: see StoreIdentity. */
export function isIncarnation(value: string): boolean {
  return /^[0-9a-f]{16}$/u.test(value);
}

export function isCron(value: string): boolean {
  return CRON.test(value);
}

export function isPem(value: string): boolean {
  return value.includes('-----BEGIN ');
}

/** `{topic}` and `{gateway}` may stand in it; what comes out must be a topic's name. */
export function isTopicTemplate(value: string): boolean {
  return TOPIC.test(value.replaceAll('{topic}', 'x').replaceAll('{gateway}', 'x'));
}

export function isTopicPattern(value: string): boolean {
  return /^[A-Za-z0-9._*-]+$/u.test(value);
}

/** An MQTT topic that one can publish to, without a slash at either end. */
export function isMqttTopic(value: string): boolean {
  return !/[+#\0]|^\/|\/$/u.test(value);
}

/** `{mqttTopic}`, `{topic}` and `{gateway}` may stand in it. */
export function isMqttTemplate(value: string): boolean {
  const plain = value.replaceAll(/\{(?:mqttTopic|topic|gateway)\}/gu, 'x');
  return isMqttTopic(plain) && !/[{}]/u.test(plain);
}

/** The gateway's id: the configured one, else the host's name. */
export function gatewayOf({ gateway }: { readonly gateway?: string | undefined }): string {
  return gateway ?? gatewayFromHost(hostname());
}

/** A host name made into a legal gateway id. */
function gatewayFromHost(host: string): string {
  const legal = host.replaceAll(/[^A-Za-z0-9._-]+/gu, '-').replaceAll(/^-+|-+$/gu, '');
  return legal === '' ? 'gateway' : legal.slice(0, LIMITS.nameBytes);
}
