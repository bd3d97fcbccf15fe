/** Ways to get a configuration wrong, and the exact words a person is told. */
export interface BadConfig {
  readonly name: string;
  readonly text: string;
  /** The lines of the message, the file being called `bad.yaml` in the folder /gatelog-test. */
  readonly lines: readonly string[];
}

export const BAD_CONFIGS: readonly BadConfig[] = [
  {
    name: 'an unknown option',
    text: 'gatway: gw-1\n',
    lines: ['bad.yaml:1:1: gatway: unknown option (did you mean "gateway"?)'],
  },
  {
    name: 'an unknown option with nothing near',
    text: 'mqtt:\n  websockets: true\n',
    lines: [
      'bad.yaml:2:3: mqtt.websockets: unknown option (known here: listen, allowAnonymous, tls, users, usersFile, jwt, roles, acl, aclFile, ownTopics, logConnections, takeOver, maxPacket, maxConnections, maxConnectionsPerAddress, maxKeepAlive, maxConnectionsPerUser, limits, central, sessions, sysInterval, dedup)',
    ],
  },
  {
    name: 'numbers of devices without a producer',
    text: 'mqtt:\n  dedup: {sequenceProperty: seq}\n',
    lines: [
      'bad.yaml:2:10: mqtt.dedup: expected producerProperty and sequenceProperty, both or neither, found seq',
    ],
  },
  {
    name: 'numbers of devices under one name',
    text: 'mqtt:\n  dedup: {producerProperty: id, sequenceProperty: seq, epochProperty: id}\n',
    lines: [
      'bad.yaml:2:10: mqtt.dedup: expected names that differ from each other, found id, seq, id',
    ],
  },
  {
    name: 'numbers of devices under a name of ours',
    text: 'mqtt:\n  dedup: {producerProperty: gatelog.id, sequenceProperty: 5}\n',
    lines: [
      'bad.yaml:2:29: mqtt.dedup.producerProperty: expected the name of a user property, such as "seq", of at most 100 characters and not beginning with "gatelog.", found "gatelog.id"',
      'bad.yaml:2:59: mqtt.dedup.sequenceProperty: expected the name of a user property, such as "seq", of at most 100 characters and not beginning with "gatelog.", found the number 5 (put it in quotes)',
    ],
  },
  {
    name: 'an unknown option in a list item',
    text: 'routes:\n  - {match: a, topic: b, keys: c}\n',
    lines: ['bad.yaml:2:26: routes[0].keys: unknown option (did you mean "key"?)'],
  },
  {
    name: 'text that is not YAML',
    text: 'mqtt: [\n',
    lines: [
      'bad.yaml:2:1: not valid YAML: flow sequence in block collection must be sufficiently indented and end with a ]',
    ],
  },
  {
    name: 'a tab as indentation',
    text: 'mqtt:\n	central: true\n',
    lines: ['bad.yaml:2:1: not valid YAML: tabs are not allowed as indentation'],
  },
  {
    name: 'two documents',
    text: 'gateway: a\n---\ngateway: b\n',
    lines: ['bad.yaml:2:1: a second document begins here; there can be one only'],
  },
  {
    name: 'a list instead of a map',
    text: '- gateway\n',
    lines: ['bad.yaml:1:1: expected a map of options, found a list'],
  },
  {
    name: 'a word instead of a map',
    text: 'gateway\n',
    lines: ['bad.yaml:1:1: expected a map of options, found "gateway"'],
  },
  {
    name: 'a map instead of a list',
    text: 'routes: {match: a, topic: b}\n',
    lines: ['bad.yaml:1:9: routes: expected a list, found a map'],
  },
  {
    name: 'a text instead of a map',
    text: 'mqtt: mqtt://127.0.0.1:1883\n',
    lines: ['bad.yaml:1:7: mqtt: expected a map of options, found "mqtt://127.0.0.1:1883"'],
  },
  {
    name: 'an option that stands twice',
    text: 'gateway: a\nlog: {level: info}\ngateway: b\n',
    lines: ['bad.yaml:3:1: gateway: stands here a second time; the first is on line 1'],
  },
  {
    name: 'an illegal gateway',
    text: 'gateway: plant/7\n',
    lines: [
      'bad.yaml:1:10: gateway: expected a name of letters, digits, ".", "_" and "-", at most 100 characters, found "plant/7"',
    ],
  },
  {
    name: 'a gateway that YAML reads as a number',
    text: 'gateway: 007\n',
    lines: [
      'bad.yaml:1:10: gateway: expected a name of letters, digits, ".", "_" and "-", at most 100 characters, found the number 7 (put it in quotes)',
    ],
  },
  {
    name: 'an empty data folder',
    text: "data: ''\n",
    lines: ['bad.yaml:1:7: data: expected the path of a folder, found ""'],
  },
  {
    name: 'an unknown level',
    text: 'log: {level: verbose}\n',
    lines: ['bad.yaml:1:14: log.level: expected debug, info, warn or error, found "verbose"'],
  },
  {
    name: 'nobody to trust',
    text: 'clock: {trust: ntp}\n',
    lines: ['bad.yaml:1:16: clock.trust: expected auto, always, never or file:PATH, found "ntp"'],
  },
  {
    name: 'a drift without a unit',
    text: 'clock: {maxDrift: 60}\n',
    lines: [
      'bad.yaml:1:19: clock.maxDrift: expected a duration from 1s to 1d, such as 1m, found the number 60',
    ],
  },
  {
    name: 'a bad size',
    text: 'store: {segment: 64 megs}\n',
    lines: [
      'bad.yaml:1:18: store.segment: expected a size from 1MiB to 1GiB, such as 64MiB, found "64 megs"',
    ],
  },
  {
    name: 'a size out of range',
    text: 'store: {segment: 4KiB}\n',
    lines: [
      'bad.yaml:1:18: store.segment: expected a size from 1MiB to 1GiB, such as 64MiB, found "4KiB"',
    ],
  },
  {
    name: 'a duration without a unit',
    text: 'store: {linger: 5}\n',
    lines: [
      'bad.yaml:1:17: store.linger: expected a duration from 0ms to 1s, such as 5ms, found the number 5',
    ],
  },
  {
    name: 'a duration out of range',
    text: 'store: {linger: 2s}\n',
    lines: [
      'bad.yaml:1:17: store.linger: expected a duration from 0ms to 1s, such as 5ms, found "2s"',
    ],
  },
  {
    name: 'a wear budget that is too small',
    text: 'store: {wear: {budget: 1MB}}\n',
    lines: [
      'bad.yaml:1:24: store.wear.budget: expected a size from 50MB to 1024TiB, such as 5GB, found "1MB"',
    ],
  },
  {
    name: 'a wear rating without a unit that is meant',
    text: 'store: {wear: {rating: 100}}\n',
    lines: [
      'bad.yaml:1:24: store.wear.rating: expected a size from 1GB to 1000000TB, such as 100TB, found the number 100',
    ],
  },
  {
    name: 'a longest wait that is less than the wait',
    text: 'store: {linger: 50ms, wear: {maxLatency: 20ms}}\n',
    lines: [
      'bad.yaml:1:42: store.wear.maxLatency: is less than store.linger: every commit waits longer',
    ],
  },
  {
    name: 'a bad cron expression',
    text: 'store: {retentionSchedule: every minute}\n',
    lines: [
      'bad.yaml:1:28: store.retentionSchedule: expected a cron expression of five fields, such as "*/1 * * * *", found "every minute"',
    ],
  },
  {
    name: 'a fraction where a whole number stands',
    text: 'topics:\n  telemetry: {partitions: 1.5}\n',
    lines: [
      'bad.yaml:2:27: topics.telemetry.partitions: expected a whole number from 1 to 1024, found the number 1.5',
    ],
  },
  {
    name: 'too many partitions',
    text: 'topics:\n  telemetry: {partitions: 5000}\n',
    lines: [
      'bad.yaml:2:27: topics.telemetry.partitions: expected a whole number from 1 to 1024, found the number 5000',
    ],
  },
  {
    name: 'a bad durability',
    text: 'topics:\n  telemetry: {durability: always}\n',
    lines: [
      'bad.yaml:2:27: topics.telemetry.durability: expected fsync, os or none, found "always"',
    ],
  },
  {
    name: 'a bad reserve and cap',
    text: 'store: {reserve: much, maxBytes: 8MiB}\n',
    lines: [
      'bad.yaml:1:18: store.reserve: expected a size from 0 to 1GiB, such as 64MiB, found "much"',
      'bad.yaml:1:34: store.maxBytes: expected a size of at least 16MiB, such as 8GiB, or none, found "8MiB"',
    ],
  },
  {
    name: 'everything about checks, wear and the folder',
    text:
      'clock: {maxDrift: 2d}\nstore:\n  reserve: 2GiB\n  mustExist: yes\n  whenUnavailable: wait\n' +
      '  scrub: {schedule: weekly, rate: 1KiB}\n  wear: {maxLatency: 5s}\n',
    lines: [
      'bad.yaml:1:19: clock.maxDrift: expected a duration from 1s to 1d, such as 1m, found "2d"',
      'bad.yaml:3:12: store.reserve: expected a size from 0 to 1GiB, such as 64MiB, found "2GiB"',
      'bad.yaml:4:14: store.mustExist: expected true or false, found "yes"',
      'bad.yaml:5:20: store.whenUnavailable: expected live or exit, found "wait"',
      'bad.yaml:6:21: store.scrub.schedule: expected a cron expression of five fields, such as "30 3 * * 0", or off, found "weekly"',
      'bad.yaml:6:35: store.scrub.rate: expected a size from 64KiB to 1GiB a second, such as 4MiB, found "1KiB"',
      'bad.yaml:7:22: store.wear.maxLatency: expected a duration from 1ms to 1s, such as 250ms, found "5s"',
    ],
  },
  {
    name: 'a cap of too few segments',
    text: 'store: {maxBytes: 128MiB}\n',
    lines: [
      'bad.yaml:1:19: store.maxBytes: is less than 4 times store.segment: space is given back a whole segment at a time, and a reserve is kept beside',
    ],
  },
  {
    name: 'a topic that does something else on a full disk',
    text: 'topics:\n  telemetry: {onFull: panic, priority: 10}\n',
    lines: [
      'bad.yaml:2:23: topics.telemetry.onFull: expected drop-oldest or refuse, found "panic"',
      'bad.yaml:2:40: topics.telemetry.priority: expected a whole number from 0 to 9, found the number 10',
    ],
  },
  {
    name: 'a bad retention',
    text: 'topics:\n  telemetry:\n    retention: {time: forever, bytes: lots}\n',
    lines: [
      'bad.yaml:3:23: topics.telemetry.retention.time: expected a duration of at least 1s, such as 12h or 7d, or none, found "forever"',
      'bad.yaml:3:39: topics.telemetry.retention.bytes: expected a size of at least 1MiB, such as 1GiB, or none, found "lots"',
    ],
  },
  {
    name: 'a cap below a segment',
    text: 'store: {segment: 256MiB}\ntopics:\n  telemetry:\n    retention: {bytes: 64MiB}\n',
    lines: [
      'bad.yaml:4:24: topics.telemetry.retention.bytes: is less than store.segment: space is given back a whole segment at a time',
    ],
  },
  {
    name: 'an illegal topic name',
    text: 'topics:\n  _own: {}\n',
    lines: [
      'bad.yaml:2:3: topics._own: expected a topic name of letters, digits, ".", "_" and "-", at most 249 characters, not beginning with "_", found "_own"',
    ],
  },
  {
    name: 'an address without mqtt',
    text: "mqtt: {listen: ['127.0.0.1:1883']}\n",
    lines: [
      'bad.yaml:1:17: mqtt.listen[0]: expected an address such as mqtt://127.0.0.1:1883 (or mqtts, ws, wss, unix:///PATH), found "127.0.0.1:1883"',
    ],
  },
  {
    name: 'an address listed twice',
    text: "mqtt: {listen: ['mqtt://127.0.0.1:1883', 'mqtt://127.0.0.1:1883']}\n",
    lines: ['bad.yaml:1:42: mqtt.listen[1]: mqtt://127.0.0.1:1883 is listed twice'],
  },
  {
    name: 'yes instead of true',
    text: 'mqtt: {central: yes}\n',
    lines: ['bad.yaml:1:17: mqtt.central: expected true or false, found "yes"'],
  },
  {
    name: 'a user without a password',
    text: 'mqtt:\n  users:\n    - username: a\n',
    lines: ['bad.yaml:3:7: mqtt.users[0].password: expected a password, found nothing'],
  },
  {
    name: 'a password that YAML reads as a number',
    text: 'mqtt:\n  users:\n    - {username: a, password: 12345}\n',
    lines: [
      'bad.yaml:3:31: mqtt.users[0].password: expected a password, found a number (put it in quotes)',
    ],
  },
  {
    name: 'a user listed twice',
    text: 'mqtt:\n  users:\n    - {username: a, password: x}\n    - {username: a, password: y}\n',
    lines: ['bad.yaml:4:18: mqtt.users[1].username: this user name is listed twice'],
  },
  {
    name: 'a packet that fits no record',
    text: 'mqtt: {maxPacket: 2MiB}\n',
    lines: [
      'bad.yaml:1:19: mqtt.maxPacket: expected a size from 1KiB to 960KiB, such as 256KiB, found "2MiB"',
    ],
  },
  {
    name: 'a route without a topic',
    text: "routes:\n  - match: 'a/#'\n",
    lines: [
      'bad.yaml:2:5: routes[0].topic: expected a topic name of letters, digits, ".", "_" and "-", at most 249 characters, not beginning with "_", found nothing',
    ],
  },
  {
    name: 'a wildcard in the wrong place',
    text: "routes:\n  - {match: 'a/#/b', topic: t}\n",
    lines: [
      'bad.yaml:2:13: routes[0].match: `#` must be a whole level, and the last one, as in `plant/#`',
    ],
  },
  {
    name: 'a plus inside a level',
    text: "routes:\n  - {match: 'a/b+', topic: t}\n",
    lines: [
      'bad.yaml:2:13: routes[0].match: `+` must be a whole level, as in `plant/+/temperature`',
    ],
  },
  {
    name: "a filter of the broker's own topics",
    text: "routes:\n  - {match: '$SYS/#', topic: t}\n",
    lines: [
      'bad.yaml:2:13: routes[0].match: MQTT topics that begin with `$` are the broker’s own and are never logged',
    ],
  },
  {
    name: 'an unknown placeholder',
    text: "routes:\n  - {match: 'a', topic: t, key: '{device}'}\n",
    lines: [
      'bad.yaml:2:33: routes[0].key: unknown placeholder {device} in the key template; known are {topic}, {client} and {1} to {64} (levels of the MQTT topic)',
    ],
  },
  {
    name: 'a brace without its partner',
    text: "routes:\n  - {match: 'a', topic: t, key: '{topic'}\n",
    lines: [
      'bad.yaml:2:33: routes[0].key: the key template has a brace without its partner near "{topic"',
    ],
  },
  {
    name: 'a file that is not there',
    text: "mqtt:\n  users:\n    - {username: a, password: '${file:nowhere/secret}'}\n",
    lines: [
      "bad.yaml:3:31: mqtt.users[0].password: can't read /gatelog-test/nowhere/secret: there is no such file",
    ],
  },
  {
    name: 'a variable that is not set',
    text: 'gateway: ${env:GATELOG_NOT_SET}\n',
    lines: ['bad.yaml:1:10: gateway: the environment has no variable GATELOG_NOT_SET'],
  },
  {
    name: 'a bad value from the environment, not shown',
    text: "log: {level: '${env:HUSH}'}\n",
    lines: [
      'bad.yaml:1:14: log.level: expected debug, info, warn or error, found a text that is not shown',
    ],
  },
  {
    name: 'an alias in a circle',
    text: 'mqtt: &a\n  users: *a\n',
    lines: ['bad.yaml:2:10: mqtt.users: the alias points to nothing that can stand here'],
  },
  {
    name: 'several at once, in the order of the file',
    text: 'mqtt:\n  listen: [x]\ngatway: y\nstore: {linger: z}\n',
    lines: [
      'bad.yaml:2:12: mqtt.listen[0]: expected an address such as mqtt://127.0.0.1:1883 (or mqtts, ws, wss, unix:///PATH), found "x"',
      'bad.yaml:3:1: gatway: unknown option (did you mean "gateway"?)',
      'bad.yaml:4:17: store.linger: expected a duration from 0ms to 1s, such as 5ms, found "z"',
    ],
  },
  {
    name: 'one value where a list is wanted',
    text: "mirrors:\n  c:\n    kafka: {brokers: localhost:9092}\n  d:\n    mqtt: {url: 'mqtt://h:1'}\n    topics: telemetry\n",
    lines: [
      'bad.yaml:3:22: mirrors.c.kafka.brokers: expected a list, such as ["kafka-1.example.com:9092"], found "localhost:9092"',
      'bad.yaml:6:13: mirrors.d.topics: expected a list, such as ["telemetry", "alarm*"], found "telemetry"',
    ],
  },
  {
    name: 'a metered cap above the rate',
    text: "mirrors:\n  c:\n    mqtt: {url: 'mqtt://h:1'}\n    link: {rate: 100kbit/s, metered: {then: {cap: 200kbit/s}}}\n",
    lines: [
      'bad.yaml:4:45: mirrors.c.link.metered.then: expected a cap below link.rate (100 kbit/s), found 200 kbit/s, which never applies',
    ],
  },
];
