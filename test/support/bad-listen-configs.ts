import type { BadConfig } from './bad-configs.ts';

/** The same for where devices connect to. */
export const BAD_LISTEN_CONFIGS: readonly BadConfig[] = [
  {
    name: 'an address that is open to everyone',
    text: "mqtt: {listen: ['mqtt://127.0.0.1:1883', 'mqtt://0.0.0.0:1883']}\n",
    lines: [
      'bad.yaml:1:42: mqtt.listen[1]: expected mqtt.users, mqtt.usersFile, mqtt.jwt, tls.requireCertificate or allowAnonymous: true, found none of them: anybody who reaches mqtt://0.0.0.0:1883 could publish and read. Name users, or write allowAnonymous: true if that is meant',
    ],
  },
  {
    name: 'an address that nobody can connect to',
    text: 'mqtt:\n  listen:\n    - {url: "ws://localhost:9001", allowAnonymous: false}\n',
    lines: [
      'bad.yaml:3:7: mqtt.listen[0]: expected mqtt.users, mqtt.usersFile, mqtt.jwt, tls.requireCertificate or allowAnonymous: true, found none of them: nobody could connect to ws://localhost:9001',
    ],
  },
  {
    name: 'TLS without a certificate, or without its key',
    text: 'mqtt:\n  listen: ["mqtts://localhost", {url: "wss://localhost", tls: {cert: a}}]\n',
    lines: [
      'bad.yaml:2:12: mqtt.listen[0].tls.cert: expected the path of a PEM file, here or at mqtt.tls, found nothing',
      'bad.yaml:2:12: mqtt.listen[0].tls.key: expected the path of a PEM file, here or at mqtt.tls, found nothing',
      'bad.yaml:2:63: mqtt.listen[1].tls.key: expected the path of a PEM file, here or at mqtt.tls, found nothing',
    ],
  },
  {
    name: 'TLS options of an address without TLS',
    text: 'mqtt:\n  listen:\n    - url: ws://localhost:9001\n      tls: {cert: a, key: b}\n',
    lines: ['bad.yaml:4:12: mqtt.listen[0].tls: expected mqtts or wss in the address, found ws'],
  },
  {
    name: 'certificates of devices that nobody can check',
    text: 'mqtt:\n  listen: ["mqtts://0.0.0.0"]\n  tls: {cert: a, key: b, requireCertificate: true}\n',
    lines: [
      'bad.yaml:2:12: mqtt.listen[0].tls.ca: expected the path of the PEM file of the CA that signs the certificates of devices, found nothing',
    ],
  },
  {
    name: 'a user name out of a certificate that nobody asks for',
    text: 'mqtt:\n  listen: ["mqtts://localhost"]\n  tls: {cert: a, key: b, user: cn}\n  allowAnonymous: true\n',
    lines: [
      'bad.yaml:2:12: mqtt.listen[0].tls.requireCertificate: expected true, for tls.user takes the user name from the certificate, found nothing',
    ],
  },
  {
    name: 'no part of a certificate, and a file of users that is a list',
    text: 'mqtt:\n  tls: {user: dn}\n  usersFile: [a]\n',
    lines: [
      'bad.yaml:2:15: mqtt.tls.user: expected cn or san, found "dn"',
      'bad.yaml:3:14: mqtt.usersFile: expected the path of a file of users, found a list',
    ],
  },
  {
    name: 'a certificate itself instead of its path, and a version of TLS without its name',
    text: 'mqtt:\n  tls: {cert: "-----BEGIN CERTIFICATE-----", minVersion: 1.3}\n',
    lines: [
      'bad.yaml:2:15: mqtt.tls.cert: expected the path of a PEM file, without ${file:}, found a text that is not shown',
      'bad.yaml:2:58: mqtt.tls.minVersion: expected TLSv1.2 or TLSv1.3, found the number 1.3',
    ],
  },
  {
    name: 'an address in a map that is none, and what else stands there',
    text: 'mqtt:\n  listen:\n    - {url: "tcp://h:1", user: a}\n    - {address: "mqtt://h"}\n',
    lines: [
      'bad.yaml:3:13: mqtt.listen[0].url: expected an address such as mqtt://127.0.0.1:1883 (or mqtts, ws, wss, unix:///PATH), found "tcp://h:1"',
      'bad.yaml:3:26: mqtt.listen[0].user: unknown option (known here: url, allowAnonymous, tls)',
      'bad.yaml:4:7: mqtt.listen[1].url: expected an address such as mqtt://127.0.0.1:1883 (or mqtts, ws, wss, unix:///PATH), found nothing',
      'bad.yaml:4:8: mqtt.listen[1].address: unknown option (known here: url, allowAnonymous, tls)',
    ],
  },
  {
    name: 'no connections from one address',
    text: 'mqtt: {maxConnectionsPerAddress: 0}\n',
    lines: [
      'bad.yaml:1:34: mqtt.maxConnectionsPerAddress: expected a whole number from 1 to 1000000, or none, found the number 0',
    ],
  },
  {
    name: 'limits of clients that are none',
    text: 'mqtt:\n  maxConnectionsPerUser: -1\n  limits: {messages: 0, bytes: 10, slowed: 1ms, clientId: 10, topicLevels: 65, will: 1MiB, speed: 1}\n',
    lines: [
      'bad.yaml:2:26: mqtt.maxConnectionsPerUser: expected a whole number from 1 to 1000000, or none, found the number -1',
      'bad.yaml:3:22: mqtt.limits.messages: expected a whole number from 1 to 10000000 a second, or none, found the number 0',
      'bad.yaml:3:32: mqtt.limits.bytes: expected a size from 1KiB a second, such as 64KiB, or none, found the number 10',
      'bad.yaml:3:44: mqtt.limits.slowed: expected a duration from 1s to 1d, such as 5m, or none, found "1ms"',
      'bad.yaml:3:59: mqtt.limits.clientId: expected a size from 23 to 65535 bytes, such as 1KiB, found the number 10',
      'bad.yaml:3:76: mqtt.limits.topicLevels: expected a whole number from 1 to 64, found the number 65',
      'bad.yaml:3:86: mqtt.limits.will: expected a size from 64 bytes to 128KiB, such as 16KiB, found "1MiB"',
      'bad.yaml:3:92: mqtt.limits.speed: unknown option (known here: connects, connectsPerAddress, messages, bytes, totalMessages, totalBytes, slowed, inFlight, subscriptions, clientId, topic, topicLevels, will)',
    ],
  },
];
