import type { BadConfig } from './bad-configs.ts';

/** As bad-configs.ts: what can be wrong with mirrors. */
export const BAD_MIRROR_CONFIGS: readonly BadConfig[] = [
  {
    name: 'name and password in addresses, not shown',
    text: 'mirrors:\n  a: {kafka: {brokers: ["u:pl/an@ted@k:9"]}}\n  b: {mqtt: {url: "mqtt://u:pl/an@ted@h"}}\n',
    lines: [
      'bad.yaml:2:25: mirrors.a.kafka.brokers[0]: expected an address such as kafka-1.example.com:9092, found a text that is not shown',
      'bad.yaml:3:19: mirrors.b.mqtt.url: expected an address such as mqtts://central.example.com:8883 or wss://central.example.com/mqtt, without user and password, found a text that is not shown',
    ],
  },
  {
    name: 'an unknown option of a mirror',
    text: "mirrors:\n  c:\n    kafka: {brokers: ['k:9092'], compresion: zstd}\n",
    lines: [
      'bad.yaml:3:34: mirrors.c.kafka.compresion: unknown option (did you mean "compression"?)',
    ],
  },
  {
    name: 'records into the positions topic',
    text: "mirrors:\n  c:\n    kafka: {brokers: ['k:9092'], topic: gatelog.positions}\n",
    lines: [
      'bad.yaml:3:41: mirrors.c.kafka.topic: records would go to the positions topic, gatelog.positions',
    ],
  },
  {
    name: 'a transactional id without transactions',
    text: "mirrors:\n  c:\n    kafka: {brokers: ['k:9092'], delivery: at-least-once, transactionalId: x}\n",
    lines: [
      'bad.yaml:3:76: mirrors.c.kafka.transactionalId: is for exactly-once: at-least-once has no transactions',
    ],
  },
  {
    name: 'a secret without its closing brace',
    text: "mirrors:\n  c:\n    mqtt: {url: 'mqtt://h:1', username: u, password: '${file:x'}\n",
    lines: ['bad.yaml:3:54: mirrors.c.mqtt.password: a ${…} that begins here has no closing brace'],
  },
  {
    name: 'a mirror that leads nowhere',
    text: 'mirrors:\n  central: {}\n',
    lines: [
      'bad.yaml:2:12: mirrors.central: expected exactly one of kafka and mqtt, found neither',
    ],
  },
  {
    name: 'a mirror that leads two ways',
    text: "mirrors:\n  central:\n    kafka: {brokers: ['k:9092']}\n    mqtt: {url: 'mqtt://c'}\n",
    lines: ['bad.yaml:3:5: mirrors.central: expected exactly one of kafka and mqtt, found both'],
  },
  {
    name: 'a mirror of nothing',
    text: "mirrors:\n  central:\n    topics: []\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:3:13: mirrors.central.topics: expected at least one pattern, found an empty list',
    ],
  },
  {
    name: 'an illegal mirror name',
    text: "mirrors:\n  'a b':\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:2:3: mirrors.a b: expected a name of letters, digits, ".", "_" and "-", at most 100 characters, found "a b"',
    ],
  },
  {
    name: 'a Kafka mirror without brokers',
    text: 'mirrors:\n  central:\n    kafka:\n',
    lines: [
      'bad.yaml:3:11: mirrors.central.kafka.brokers: expected a list, such as ["kafka-1.example.com:9092"], found nothing',
    ],
  },
  {
    name: 'a sample that is none',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, sample: {keep: first per key, rest: never}}\n    link: {metered: {}}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:4:43: mirrors.central.topics[0].sample.keep: expected last per key per DURATION, from 1s to 1d, such as last per key per 1m, found "first per key"',
      'bad.yaml:4:64: mirrors.central.topics[0].sample.rest: expected later or ledger, found "never"',
    ],
  },
  {
    name: 'a sample of windows that are too short',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, sample: {keep: last per key per 100ms}}\n    link: {metered: {then: sample}}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:4:43: mirrors.central.topics[0].sample.keep: expected last per key per DURATION, from 1s to 1d, such as last per key per 1m, found "last per key per 100ms"',
    ],
  },
  {
    name: 'a sample while a link is metered that nobody knows of',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, sample: {keep: last per key per 1m}}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:4:36: mirrors.central.topics[0].sample.when: expected link.metered, which says when a link is metered, found none',
    ],
  },
  {
    name: 'a sample of what does not go on a metered link',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, sample: {keep: last per key per 1m}}\n    link: {metered: {then: alarms-only}}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:4:36: mirrors.central.topics[0].sample.when: never applies: link.metered.then is alarms-only, so nothing of these topics goes then; write then: sample, or {cap: RATE}',
    ],
  },
  {
    name: 'a sample in another order',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, drain: newest-first, sample: {keep: last per key per 1m}}\n    link: {metered: {then: sample}}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:4:57: mirrors.central.topics[0].sample: expected drain: backlog-first beside it, found "newest-first"',
    ],
  },
  {
    name: 'a rest that never comes',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, sample: {when: always, keep: last per key per 1m}}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:4:36: mirrors.central.topics[0].sample.rest: expected ledger with when: always, found "later", which never comes',
    ],
  },
  {
    name: 'a rest that an MQTT broker would take for repeats',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, sample: {keep: last per key per 1m}}\n    link: {metered: {then: {cap: 64kbit/s}}}\n    mqtt: {url: 'mqtt://central'}\n",
    lines: [
      'bad.yaml:4:36: mirrors.central.topics[0].sample.rest: expected ledger to an MQTT broker, found "later": a central gatelog knows repeats by the last record it has, so records must come in order',
    ],
  },
  {
    name: 'a metered link for samples of nothing',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, class: high}\n    link: {metered: {then: sample}}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:5:28: mirrors.central.link.metered.then: expected a topic of the mirror with sample, found none: write alarms-only',
    ],
  },
  {
    name: 'an empty list of brokers',
    text: 'mirrors:\n  central:\n    kafka: {brokers: []}\n',
    lines: [
      'bad.yaml:3:22: mirrors.central.kafka.brokers: expected at least one: an address such as kafka-1.example.com:9092, found an empty list',
    ],
  },
  {
    name: 'a broker without a port',
    text: 'mirrors:\n  central:\n    kafka: {brokers: [kafka.example.com]}\n',
    lines: [
      'bad.yaml:3:23: mirrors.central.kafka.brokers[0]: expected an address such as kafka-1.example.com:9092, found "kafka.example.com"',
    ],
  },
  {
    name: 'a bad delivery',
    text: "mirrors:\n  central:\n    kafka: {brokers: ['k:9092'], delivery: at-most-once}\n",
    lines: [
      'bad.yaml:3:44: mirrors.central.kafka.delivery: expected exactly-once or at-least-once, found "at-most-once"',
    ],
  },
  {
    name: 'a level that the compression has not',
    text: "mirrors:\n  central:\n    kafka: {brokers: ['k:9092'], compression: gzip, compressionLevel: 12}\n",
    lines: [
      'bad.yaml:3:71: mirrors.central.kafka.compressionLevel: expected a level from 1 to 9 with compression gzip, found level 12',
    ],
  },
  {
    name: 'a level without levels',
    text: "mirrors:\n  central:\n    kafka: {brokers: ['k:9092'], compression: lz4, compressionLevel: 1}\n",
    lines: [
      'bad.yaml:3:70: mirrors.central.kafka.compressionLevel: expected no level with compression lz4, found level 1',
    ],
  },
  {
    name: 'a bad template of the central topic',
    text: "mirrors:\n  central:\n    kafka: {brokers: ['k:9092'], topic: '{tpc}'}\n",
    lines: [
      'bad.yaml:3:41: mirrors.central.kafka.topic: expected a template of {topic} and {gateway} that gives a topic name, found "{tpc}"',
    ],
  },
  {
    name: 'a bad create',
    text: "mirrors:\n  central:\n    kafka: {brokers: ['k:9092'], create: {partitions: 0, factor: 3}}\n",
    lines: [
      'bad.yaml:3:55: mirrors.central.kafka.create.partitions: expected a whole number from 1 to 100000, or default, found the number 0',
      'bad.yaml:3:58: mirrors.central.kafka.create.factor: unknown option (known here: partitions, replicationFactor)',
    ],
  },
  {
    name: 'a create that is neither',
    text: "mirrors:\n  central:\n    kafka: {brokers: ['k:9092'], create: never}\n",
    lines: [
      'bad.yaml:3:42: mirrors.central.kafka.create: expected false or a map of options, found "never"',
    ],
  },
  {
    name: 'SCRAM without a password',
    text: "mirrors:\n  central:\n    kafka:\n      brokers: ['k:9092']\n      sasl: {mechanism: SCRAM-SHA-512, username: gw}\n",
    lines: [
      'bad.yaml:5:13: mirrors.central.kafka.sasl: expected username and password with mechanism SCRAM-SHA-512, found username',
    ],
  },
  {
    name: 'OAUTHBEARER with a password',
    text: "mirrors:\n  central:\n    kafka:\n      brokers: ['k:9092']\n      sasl: {mechanism: OAUTHBEARER, password: hush}\n",
    lines: [
      'bad.yaml:5:13: mirrors.central.kafka.sasl: expected tokenFile alone with mechanism OAUTHBEARER, found password',
    ],
  },
  {
    name: 'an unknown mechanism',
    text: "mirrors:\n  central:\n    kafka:\n      brokers: ['k:9092']\n      sasl: {mechanism: GSSAPI, username: a, password: hush}\n",
    lines: [
      'bad.yaml:5:25: mirrors.central.kafka.sasl.mechanism: expected PLAIN, SCRAM-SHA-256, SCRAM-SHA-512 or OAUTHBEARER, found "GSSAPI"',
    ],
  },
  {
    name: 'a certificate that is a path',
    text: "mirrors:\n  central:\n    kafka:\n      brokers: ['k:9092']\n      tls: {ca: /etc/ca.pem}\n",
    lines: [
      'bad.yaml:5:17: mirrors.central.kafka.tls.ca: expected a PEM text, such as ${file:ca.pem}, found "/etc/ca.pem"',
    ],
  },
  {
    name: 'a client certificate without its key',
    text: "mirrors:\n  central:\n    kafka:\n      brokers: ['k:9092']\n      tls: {cert: '-----BEGIN CERTIFICATE-----'}\n",
    lines: [
      'bad.yaml:5:12: mirrors.central.kafka.tls: expected cert and key together, or neither, found cert alone',
    ],
  },
  {
    name: 'tls on a plain address',
    text: "mirrors:\n  central:\n    mqtt: {url: 'mqtt://c', tls: true}\n",
    lines: [
      'bad.yaml:3:11: mirrors.central.mqtt: expected a url of mqtts://… or wss://… where tls is set, found mqtt://',
    ],
  },
  {
    name: 'a password in the address',
    text: "mirrors:\n  central:\n    mqtt: {url: 'mqtt://me:hush@c'}\n",
    lines: [
      'bad.yaml:3:17: mirrors.central.mqtt.url: expected an address such as mqtts://central.example.com:8883 or wss://central.example.com/mqtt, without user and password, found a text that is not shown',
    ],
  },
  {
    name: 'a password without a user',
    text: "mirrors:\n  central:\n    mqtt: {url: 'mqtt://c', password: hush}\n",
    lines: [
      'bad.yaml:3:39: mirrors.central.mqtt.password: expected a username beside the password, found none',
    ],
  },
  {
    name: 'a mirror to itself',
    text: "mirrors:\n  central:\n    mqtt: {url: 'mqtt://127.0.0.1:1883'}\n",
    lines: [
      'bad.yaml:3:17: mirrors.central.mqtt.url: is this agent itself (it listens on mqtt://127.0.0.1:1883): every record would come back',
    ],
  },
  {
    name: 'a mirror to itself by another name',
    text: "mqtt: {listen: ['mqtt://[::1]:1907']}\nmirrors:\n  central:\n    mqtt: {url: 'mqtt://localhost:1907'}\n",
    lines: [
      'bad.yaml:4:17: mirrors.central.mqtt.url: is this agent itself (it listens on mqtt://[::1]:1907): every record would come back',
    ],
  },
  {
    name: 'a prefix with a wildcard',
    text: "mirrors:\n  central:\n    mqtt: {url: 'mqtt://c', prefix: 'a/#'}\n",
    lines: [
      'bad.yaml:3:37: mirrors.central.mqtt.prefix: expected an MQTT topic without wildcards and outer slashes, found "a/#"',
    ],
  },
  {
    name: 'a class that is none, and a drain that is none',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, class: urgent}\n      - {match: t-*, drain: newest}\n      - {class: alarm}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:4:35: mirrors.central.topics[0].class: expected alarm, high, normal or bulk, found "urgent"',
      'bad.yaml:5:29: mirrors.central.topics[1].drain: expected backlog-first, live-first or newest-first, found "newest"',
      'bad.yaml:6:9: mirrors.central.topics[2].match: expected a pattern of topic names, such as "*" or "sensors-*", found nothing',
    ],
  },
  {
    name: 'a list of topics with a number in it',
    text: "mirrors:\n  central:\n    topics: [5]\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:3:14: mirrors.central.topics[0]: expected a pattern of topic names, such as "*" or "sensors-*", found the number 5 (put it in quotes)',
    ],
  },
  {
    name: 'a treatment that no topic gets',
    text: "mirrors:\n  central:\n    topics:\n      - tele*\n      - {match: telemetry, class: alarm}\n      - {match: telemetry}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:5:9: mirrors.central.topics[1]: never applies: "tele*" stands before it and matches too; put the narrower first',
    ],
  },
  {
    name: 'another order than that of the log to an MQTT broker',
    text: "mirrors:\n  central:\n    topics:\n      - {match: telemetry, drain: live-first}\n    mqtt: {url: 'mqtt://c'}\n",
    lines: [
      'bad.yaml:4:35: mirrors.central.topics[0].drain: expected backlog-first to an MQTT broker, found "live-first": a central gatelog knows repeats by the last record it has, so records must come in order',
    ],
  },
  {
    name: 'a batch that is too small',
    text: "mirrors:\n  central:\n    batch: {bytes: 1KiB}\n    kafka: {brokers: ['k:9092']}\n",
    lines: [
      'bad.yaml:3:20: mirrors.central.batch.bytes: expected a size from 8KiB to 6MiB, such as 1MiB, found "1KiB"',
    ],
  },
  {
    name: 'a protocol that is not spoken',
    text: "mirrors:\n  central:\n    mqtt: {url: 'mqtt://c', protocol: 3.1}\n",
    lines: [
      'bad.yaml:3:39: mirrors.central.mqtt.protocol: expected 5 or 3.1.1, found the number 3.1',
    ],
  },
  {
    name: 'a bad template of the MQTT topic',
    text: "mirrors:\n  central:\n    mqtt: {url: 'mqtt://c', topic: '{device}/x'}\n",
    lines: [
      'bad.yaml:3:36: mirrors.central.mqtt.topic: expected a template of {mqttTopic}, {topic} and {gateway} that gives an MQTT topic, found "{device}/x"',
    ],
  },
  {
    name: 'two mirrors with one transactional id',
    text: "mirrors:\n  a:\n    kafka: {brokers: ['k:9092']}\n  b:\n    kafka: {brokers: ['l:9092', 'k:9092'], group: other, topic: 'b.{topic}'}\n",
    lines: [
      'bad.yaml:5:12: mirrors.b.kafka.transactionalId: must differ from that of mirror "a": set it for one of them',
    ],
  },
  {
    name: 'one transactional id by default, and the same one spelt out',
    text: "gateway: gw\nmirrors:\n  a:\n    kafka: {brokers: ['k:9092']}\n  b:\n    kafka: {brokers: ['k:9092'], transactionalId: gatelog.gw, group: other, topic: 'b.{topic}'}\n",
    lines: [
      'bad.yaml:6:51: mirrors.b.kafka.transactionalId: must differ from that of mirror "a": set it for one of them',
    ],
  },
  {
    name: 'two mirrors that fill one topic of one cluster',
    text: "mirrors:\n  a:\n    kafka: {brokers: ['k:9092'], topic: '{topic}'}\n  b:\n    topics: [tele*]\n    kafka: {brokers: ['k:9092'], transactionalId: x, group: x}\n",
    lines: [
      'bad.yaml:6:12: mirrors.b.kafka.topic: mirror "a" sends telemetry to the same topic of the same cluster, where every record would be twice: leave it out of one of them, or give one another topic template',
    ],
  },
  {
    name: 'a password that looks like a tag is not repeated',
    text: 'mirrors:\n  a:\n    mqtt: { url: "mqtt://c", username: u, password: !hunter2 }\n',
    lines: ['bad.yaml:3:53: not valid YAML: a text that begins with ! must stand in quotes'],
  },
  {
    name: 'a password that looks like an alias is not repeated',
    text: 'mirrors:\n  a:\n    mqtt: { url: "mqtt://c", username: u, password: *hunter2 }\n',
    lines: [
      'bad.yaml:3:53: mirrors.a.mqtt.password: the alias points to nothing that can stand here',
    ],
  },
  {
    name: 'a login written as one text is not repeated',
    text: 'mirrors:\n  a:\n    kafka: { brokers: ["k:9092"], sasl: "PLAIN:me:hunter2" }\n',
    lines: [
      'bad.yaml:3:41: mirrors.a.kafka.sasl: expected a map of options, found a text that is not shown',
    ],
  },
  {
    name: 'two mirrors with one client id',
    text: "mirrors:\n  a:\n    mqtt: {url: 'mqtt://c'}\n  b:\n    mqtt: {url: 'mqtt://c', prefix: x}\n",
    lines: [
      'bad.yaml:5:11: mirrors.b.mqtt.clientId: must differ from that of mirror "a": set it for one of them',
    ],
  },
  {
    name: 'a rate without its unit',
    text: "mirrors:\n  c:\n    mqtt: {url: 'mqtt://h:1'}\n    link: {rate: 512}\n",
    lines: [
      'bad.yaml:4:18: mirrors.c.link.rate: expected a rate from 16kbit/s to 100Gbit/s, such as 512kbit/s, found the number 512',
    ],
  },
  {
    name: 'a budget that resets on a day that no month has',
    text: "mirrors:\n  c:\n    mqtt: {url: 'mqtt://h:1'}\n    link:\n      budget:\n        - {bytes: 5MB, per: month, resets: 0}\n        - {bytes: 5kB, per: week}\n",
    lines: [
      'bad.yaml:6:44: mirrors.c.link.budget[0].resets: expected a whole number from 1 to 31 with per: month, found 0',
      'bad.yaml:7:19: mirrors.c.link.budget[1].bytes: expected a size from 100kB to 1024TiB, such as 500MB, found "5kB"',
      'bad.yaml:7:29: mirrors.c.link.budget[1].per: expected hour, day or month, found "week"',
    ],
  },
  {
    name: 'two budgets of the same periods',
    text: "mirrors:\n  c:\n    mqtt: {url: 'mqtt://h:1'}\n    link: {budget: [{bytes: 5MB, per: day}, {bytes: 6MB, per: day, resets: 0}]}\n",
    lines: ['bad.yaml:4:45: mirrors.c.link.budget[1]: another budget has the same periods'],
  },
  {
    name: 'windows that never open, for classes that there are not',
    text: "mirrors:\n  c:\n    mqtt: {url: 'mqtt://h:1'}\n    link: {windows: [{from: '0 25 * * *', for: 3h}, {from: '0 2 * * *', for: 3h, classes: [bulky]}]}\n",
    lines: [
      'bad.yaml:4:29: mirrors.c.link.windows[0].from: expected a cron expression of five fields, such as "0 2 * * *", found "0 25 * * *"',
      'bad.yaml:4:92: mirrors.c.link.windows[1].classes[0]: expected alarm, high, normal or bulk, found "bulky"',
    ],
  },
  {
    name: 'a metered link on which nobody knows what to do, in no zone',
    text: "mirrors:\n  c:\n    mqtt: {url: 'mqtt://h:1'}\n    link: {zone: Mars/Olympus, metered: {interfaces: [wwan0], then: {cap: fast}}}\n",
    lines: [
      'bad.yaml:4:18: mirrors.c.link.zone: expected a time zone, such as Europe/Berlin, found "Mars/Olympus"',
      'bad.yaml:4:69: mirrors.c.link.metered.then: expected pause, alarms-only, sample or {cap: RATE}, found a map',
    ],
  },
];
