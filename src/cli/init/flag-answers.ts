import path from 'node:path';
import {
  gatewayOf,
  isMqttUpstream,
  isName,
  LISTEN_EXPECTED,
  MQTT_UPSTREAM_EXPECTED,
  NAME_EXPECTED,
} from '../../agent/config-forms.ts';
import { isLocal, isSecure, parseListen } from '../../agent/listen-address.ts';
import { isUserName, USER_NAME_EXPECTED } from '../../agent/users-file.ts';
import { GatelogError } from '../../errors.ts';
import type { Random } from '../../random.ts';
import { brokersOf } from '../flags.ts';
import type {
  InitAccount,
  InitAcl,
  InitAnswers,
  InitKafka,
  InitLogin,
  InitMechanism,
  InitMqtt,
  InitUser,
} from './answers.ts';

export interface InitFlags {
  readonly gateway?: string | undefined;
  readonly data?: string | undefined;
  readonly listen?: readonly string[] | undefined;
  readonly cert?: string | undefined;
  readonly key?: string | undefined;
  readonly user?: readonly string[] | undefined;
  readonly allowAnonymous?: boolean | undefined;
  readonly acl?: InitAcl | undefined;
  readonly kafka?: string | undefined;
  readonly kafkaTls?: boolean | undefined;
  readonly kafkaCa?: string | undefined;
  readonly kafkaUser?: string | undefined;
  readonly kafkaMechanism?: InitMechanism | undefined;
  readonly kafkaPasswordFile?: string | undefined;
  readonly upstream?: string | undefined;
  readonly upstreamCa?: string | undefined;
  readonly upstreamUser?: string | undefined;
  readonly upstreamPasswordFile?: string | undefined;
}

/** What flags do not name of what only a person knows. */
export interface InitSecrets {
  /** By user name; who has none gets one that is made. */
  readonly passwords: ReadonlyMap<string, string>;
  /** The gateway's own at its far side, which is one. */
  readonly upstreamPassword: string | undefined;
}

/** Answers of flags alone. Throws USAGE and CONFIG_INVALID, naming the flag. */
export function answersOf(
  flags: InitFlags,
  secrets: InitSecrets,
  { workingFolder, random }: { readonly workingFolder: string; readonly random: Random },
): InitAnswers {
  const gateway = flags.gateway ?? gatewayOf({});
  if (!isName(gateway)) refuse('gateway', NAME_EXPECTED, gateway);
  const at = (file: string): string => path.resolve(workingFolder, file);
  const listen = flags.listen ?? ['mqtt://127.0.0.1:1883'];
  const users = (flags.user ?? []).map((name) => userOf(name, secrets, random));
  checkListen(listen, flags, users.length > 0);
  const { cert, key, data, acl = 'own' } = flags;
  if ((cert === undefined) !== (key === undefined)) {
    throw new GatelogError('USAGE', '--cert and --key go together; give both or neither');
  }
  return {
    gateway,
    data: data === undefined ? undefined : at(data),
    listen,
    serverTls:
      cert === undefined || key === undefined ? undefined : { cert: at(cert), key: at(key) },
    users,
    allowAnonymous: flags.allowAnonymous ?? false,
    acl,
    kafka: kafkaOf(flags, secrets, at),
    mqtt: mqttOf(flags, secrets, at),
  };
}

/** Expected when it is no address of an MQTT broker; undefined: it is. */
export function upstreamTrouble(url: string): string | undefined {
  return isMqttUpstream(url) ? undefined : MQTT_UPSTREAM_EXPECTED;
}

/** Expected when it is no address to be written as things are; undefined: it may be. */
export function listenTrouble(url: string): string | undefined {
  return parseListen(url) === undefined ? LISTEN_EXPECTED : undefined;
}

/** Whether somebody who is not on this machine gets there. */
export function isOpenToOthers(url: string): boolean {
  const address = parseListen(url);
  return address !== undefined && !isLocal(address);
}

export function wantsCertificate(url: string): boolean {
  const address = parseListen(url);
  return address !== undefined && isSecure(address);
}

function checkListen(
  listen: readonly string[],
  { allowAnonymous, cert }: InitFlags,
  hasUsers: boolean,
): void {
  for (const url of listen) {
    const trouble = listenTrouble(url);
    if (trouble !== undefined) refuse('listen', trouble, url);
    if (wantsCertificate(url) && cert === undefined) {
      throw new GatelogError(
        'USAGE',
        `--listen ${url} wants a certificate: --cert FILE --key FILE`,
      );
    }
    if (isOpenToOthers(url) && !hasUsers && allowAnonymous !== true) {
      const message = `anybody who reaches ${url} could publish and read: name users with --user NAME, or say --allow-anonymous if that is meant`;
      throw new GatelogError('USAGE', message);
    }
  }
}

function userOf(name: string, { passwords }: InitSecrets, random: Random): InitUser {
  if (!isUserName(name)) refuse('user', USER_NAME_EXPECTED, name);
  const given = passwords.get(name) ?? '';
  if (given !== '') return { name, password: Buffer.from(given, 'utf8'), isMade: false };
  return { name, password: Buffer.from(madePassword(random), 'utf8'), isMade: true };
}

/** 120 bits, in letters that survive being read out and typed into a device. */
function madePassword(random: Random): string {
  const bytes = Buffer.alloc(24);
  random.fillBytes(bytes);
  return [...bytes].map((byte) => LETTERS[byte & 31] ?? '').join('');
}

/** Crockford's base 32: no i, l, o, u. */
const LETTERS = '0123456789abcdefghjkmnpqrstvwxyz';

function kafkaOf(
  flags: InitFlags,
  secrets: InitSecrets,
  at: (file: string) => string,
): InitKafka | undefined {
  const { kafka, kafkaTls, kafkaCa: ca } = flags;
  if (kafka === undefined) {
    refuseStray(flags, KAFKA_FLAGS, 'the brokers, too: --kafka HOST:PORT');
    return undefined;
  }
  const isTls = kafkaTls === true || ca !== undefined;
  return {
    brokers: brokersOf(kafka),
    tls: isTls ? { ca: ca === undefined ? undefined : at(ca) } : undefined,
    login: loginOf(flags, secrets, at),
  };
}

function loginOf(
  { kafkaUser, kafkaMechanism, kafkaPasswordFile }: InitFlags,
  { upstreamPassword }: InitSecrets,
  at: (file: string) => string,
): InitLogin | undefined {
  if (kafkaUser === undefined) {
    if (kafkaPasswordFile === undefined) return undefined;
    throw new GatelogError('USAGE', '--kafka-password-file wants the user, too: --kafka-user NAME');
  }
  const mechanism = kafkaMechanism ?? 'SCRAM-SHA-512';
  const file = kafkaPasswordFile === undefined ? undefined : at(kafkaPasswordFile);
  const who = `${kafkaUser} at Kafka`;
  const password = passwordOf(file, upstreamPassword, who, '--kafka-password-file');
  return { mechanism, username: kafkaUser, password };
}

function mqttOf(
  flags: InitFlags,
  { upstreamPassword }: InitSecrets,
  at: (file: string) => string,
): InitMqtt | undefined {
  const { upstream: url, upstreamCa: ca, upstreamUser: username, upstreamPasswordFile } = flags;
  if (url === undefined) {
    refuseStray(flags, MQTT_FLAGS, 'the broker, too: --upstream mqtts://HOST:PORT');
    return undefined;
  }
  if (flags.kafka !== undefined) {
    const message =
      '--kafka and --upstream are two far sides: name one, and write the other into the file';
    throw new GatelogError('USAGE', message);
  }
  const trouble = upstreamTrouble(url);
  if (trouble !== undefined) refuse('upstream', trouble, url);
  if (ca !== undefined && !/^(?:mqtts|wss):/u.test(url)) {
    throw new GatelogError(
      'USAGE',
      '--upstream-ca wants an address with TLS: mqtts://… or wss://…',
    );
  }
  const whole = { url, ca: ca === undefined ? undefined : at(ca) };
  if (username === undefined) {
    if (upstreamPasswordFile === undefined) return { ...whole, login: undefined };
    const message = '--upstream-password-file wants the user, too: --upstream-user NAME';
    throw new GatelogError('USAGE', message);
  }
  const file = upstreamPasswordFile === undefined ? undefined : at(upstreamPasswordFile);
  const password = passwordOf(file, upstreamPassword, username, '--upstream-password-file');
  return { ...whole, login: { username, password } };
}

function passwordOf(
  file: string | undefined,
  given: string | undefined,
  who: string,
  flag: string,
): InitAccount['password'] {
  if (file !== undefined) return { file };
  if (given !== undefined && given !== '') return { text: given };
  const message = `the password of ${who} is missing: ${flag} FILE, or --password-stdin`;
  throw new GatelogError('USAGE', message);
}

const KAFKA_FLAGS = ['kafkaTls', 'kafkaCa', 'kafkaUser', 'kafkaPasswordFile'] as const;
const MQTT_FLAGS = ['upstreamCa', 'upstreamUser', 'upstreamPasswordFile'] as const;

function refuseStray(flags: InitFlags, names: readonly (keyof InitFlags)[], wants: string): void {
  const stray = names.find((name) => flags[name] !== undefined && flags[name] !== false);
  if (stray === undefined) return;
  const flag = stray.replaceAll(/[A-Z]/gu, (letter) => `-${letter.toLowerCase()}`);
  throw new GatelogError('USAGE', `--${flag} wants ${wants}`);
}

function refuse(flag: string, expected: string, found: string): never {
  throw new GatelogError('CONFIG_INVALID', `--${flag}: expected ${expected}, found "${found}"`);
}
