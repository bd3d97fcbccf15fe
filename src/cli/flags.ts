import path from 'node:path';
import {
  BROKER_EXPECTED,
  isAddress,
  isHostPort,
  isName,
  LISTEN_EXPECTED,
  NAME_EXPECTED,
} from '../agent/config-forms.ts';
import { defaultKafkaMirror } from '../agent/config-schema.ts';
import type { Config, MirrorConfig } from '../agent/config-types.ts';
import { GatelogError } from '../errors.ts';

/** Flags of `gatelog run` that overrule the configuration file. */
export interface RunFlags {
  readonly data?: string | undefined;
  readonly mqtt?: readonly string[] | undefined;
  readonly kafka?: string | undefined;
  readonly gateway?: string | undefined;
  readonly adopt?: boolean | undefined;
}

/** Throws CONFIG_INVALID, naming the flag. */
export function withFlags(config: Config, flags: RunFlags, workingFolder: string): Config {
  const { data, mqtt, kafka, gateway } = flags;
  if (gateway !== undefined && !isName(gateway)) refuse('gateway', NAME_EXPECTED, gateway);
  for (const address of mqtt ?? []) {
    if (!isAddress(['mqtt:'], address)) refuse('mqtt', LISTEN_EXPECTED, address);
  }
  return {
    ...config,
    ...(gateway === undefined ? {} : { gateway, gatewayGiven: true }),
    ...(data === undefined ? {} : { data: path.resolve(workingFolder, data) }),
    ...(mqtt === undefined ? {} : { mqtt: { ...config.mqtt, listen: mqtt } }),
    ...(kafka === undefined ? {} : { mirrors: withBrokers(config, brokersOf(kafka)) }),
  };
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

function refuse(flag: string, expected: string, found: string): never {
  throw new GatelogError('CONFIG_INVALID', `--${flag}: expected ${expected}, found "${found}"`);
}
