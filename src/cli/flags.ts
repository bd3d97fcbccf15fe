import path from 'node:path';
import {
  BROKER_EXPECTED,
  isHostPort,
  isName,
  LISTEN_EXPECTED,
  NAME_EXPECTED,
} from '../agent/config-forms.ts';
import { checkHttp } from '../agent/config-http-rules.ts';
import { defaultKafkaMirror } from '../agent/config-schema.ts';
import type { Config, HttpConfig, ListenConfig, MirrorConfig } from '../agent/config-types.ts';
import { HTTP_ADDRESS_EXPECTED, parseHttpAddress } from '../agent/http-address.ts';
import { isSecure, parseListen } from '../agent/listen-address.ts';
import { hasUsers, troubleOfAccess } from '../agent/listen-policy.ts';
import { GatelogError } from '../errors.ts';

/** Flags of `gatelog run` that overrule the configuration file. */
export interface RunFlags {
  readonly data?: string | undefined;
  readonly mqtt?: readonly string[] | undefined;
  readonly kafka?: string | undefined;
  /** An address, or off. */
  readonly http?: string | undefined;
  readonly gateway?: string | undefined;
  readonly adopt?: boolean | undefined;
  /** For the addresses of `mqtt`. */
  readonly allowAnonymous?: boolean | undefined;
}

/** Throws CONFIG_INVALID, naming the flag. */
export function withFlags(config: Config, flags: RunFlags, workingFolder: string): Config {
  const { data, mqtt, kafka, http, gateway } = flags;
  if (gateway !== undefined && !isName(gateway)) refuse('gateway', NAME_EXPECTED, gateway);
  return {
    ...config,
    ...(gateway === undefined ? {} : { gateway, gatewayGiven: true }),
    ...(data === undefined ? {} : { data: path.resolve(workingFolder, data) }),
    ...(mqtt === undefined
      ? {}
      : { mqtt: { ...config.mqtt, listen: listenAt(mqtt, config, flags.allowAnonymous) } }),
    ...(http === undefined ? {} : { http: httpAt(http, config) }),
    ...(kafka === undefined ? {} : { mirrors: withBrokers(config, brokersOf(kafka)) }),
  };
}

/** With what stands at `mqtt` for all addresses. Throws CONFIG_INVALID. */
function listenAt(
  urls: readonly string[],
  { mqtt }: Config,
  allowAnonymous: boolean | undefined = mqtt.allowAnonymous,
): ListenConfig[] {
  return urls.map((url) => {
    const address = parseListen(url);
    if (address === undefined) refuse('mqtt', LISTEN_EXPECTED, url);
    const tls = isSecure(address) ? mqtt.tls : undefined;
    if (isSecure(address) && tls === undefined) {
      const message = `--mqtt: ${url} wants mqtt.tls with cert and key in the configuration`;
      throw new GatelogError('CONFIG_INVALID', message);
    }
    const listen = { url, allowAnonymous, tls };
    const trouble = troubleOfAccess(listen, hasUsers(mqtt));
    if (trouble !== undefined) {
      throw new GatelogError('CONFIG_INVALID', `--mqtt: ${trouble} (here: --allow-anonymous)`);
    }
    return listen;
  });
}

/** `off` or one address, under the rules of the file. Throws CONFIG_INVALID. */
function httpAt(url: string, { http }: Config): HttpConfig {
  if (url === 'off' || url === 'false') return { ...http, listen: [] };
  if (parseHttpAddress(url) === undefined) refuse('http', HTTP_ADDRESS_EXPECTED, url);
  const at = { ...http, listen: [url] };
  const troubles: string[] = [];
  checkHttp(
    at,
    (_, message) => troubles.push(message),
    () => {},
  );
  const [trouble] = troubles;
  if (trouble === undefined) return at;
  throw new GatelogError('CONFIG_INVALID', `--http: ${trouble}`);
}

/** A flag says something else than the file, whatever it says at `at`. */
export function isOverruled(at: readonly (string | number)[], flags: RunFlags): boolean {
  const key = at.join('.');
  if (key === 'data') return flags.data !== undefined;
  if (key === 'gateway') return flags.gateway !== undefined;
  if (key === 'mqtt.listen') return flags.mqtt !== undefined;
  if (key === 'http.listen') return flags.http !== undefined;
  return flags.kafka !== undefined && /^mirrors\.[^.]+\.kafka\.brokers$/u.test(key);
}

/** `HOST:PORT,HOST:PORT`. Throws CONFIG_INVALID. */
export function brokersOf(list: string): string[] {
  const brokers = list.split(',').map((broker) => broker.trim());
  for (const broker of brokers) if (!isHostPort(broker)) refuse('kafka', BROKER_EXPECTED, broker);
  return brokers;
}

/** The one Kafka mirror of the file sent elsewhere; one named `kafka` where there is none. */
function withBrokers(config: Config, brokers: string[]): Record<string, MirrorConfig> {
  const named = Object.entries(config.mirrors).filter(
    ([, { upstream }]) => upstream.kind === 'kafka',
  );
  if (named.length > 1) {
    const names = named.map(([name]) => name).join(', ');
    throw new GatelogError(
      'CONFIG_INVALID',
      `--kafka: the configuration has several Kafka mirrors (${names}); change the file instead`,
    );
  }
  const [name, mirror] = named[0] ?? ['kafka', defaultKafkaMirror(brokers)];
  const { upstream } = mirror;
  const sent = upstream.kind === 'kafka' ? { ...upstream, brokers } : upstream;
  return { ...config.mirrors, [name]: { ...mirror, upstream: sent } };
}

function refuse(flag: string, expected: string, given: string): never {
  // Somebody may have written name and password into it.
  const found = given.replace(/^([a-z+]+:\/\/)?.*@/iu, '$1(not shown)@');
  throw new GatelogError('CONFIG_INVALID', `--${flag}: expected ${expected}, found "${found}"`);
}
