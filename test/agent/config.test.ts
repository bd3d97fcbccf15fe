import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { defaultConfig, loadConfig, parseConfig } from '../../src/agent/config.ts';
import { GatelogError } from '../../src/errors.ts';
import { BAD_ACL_CONFIGS } from '../support/bad-acl-configs.ts';
import { BAD_CONFIGS } from '../support/bad-configs.ts';
import { BAD_HTTP_CONFIGS } from '../support/bad-http-configs.ts';
import { BAD_METRICS_CONFIGS } from '../support/bad-metrics-configs.ts';
import { BAD_LISTEN_CONFIGS } from '../support/bad-listen-configs.ts';
import { BAD_MIRROR_CONFIGS } from '../support/bad-mirror-configs.ts';

const HERE = { env: { HUSH: 'hush', GATEWAY: 'gw-9', PARTS: '3' }, workingFolder: '/gatelog-test' };

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-config-'));
});
afterEach(() => {
  rmSync(folder, { recursive: true, force: true });
});

/** The refusal; undefined when the configuration was taken. */
function refusalOf(text: string): GatelogError | undefined {
  try {
    parseConfig(text, 'bad.yaml', HERE);
  } catch (error) {
    return error as GatelogError;
  }
  return undefined;
}

describe('bad configurations', () => {
  test.each([
    ...BAD_CONFIGS,
    ...BAD_ACL_CONFIGS,
    ...BAD_LISTEN_CONFIGS,
    ...BAD_HTTP_CONFIGS,
    ...BAD_METRICS_CONFIGS,
    ...BAD_MIRROR_CONFIGS,
  ])('$name', ({ text, lines }) => {
    const refusal = refusalOf(text);
    expect(refusal).toBeInstanceOf(GatelogError);
    expect(refusal?.code).toBe('CONFIG_INVALID');
    expect(refusal?.message.split('\n')).toEqual(lines);
  });

  test('the table is not empty, and no message shows a secret', () => {
    const all = [
      ...BAD_CONFIGS,
      ...BAD_ACL_CONFIGS,
      ...BAD_LISTEN_CONFIGS,
      ...BAD_HTTP_CONFIGS,
      ...BAD_MIRROR_CONFIGS,
    ];
    expect(all.length).toBeGreaterThanOrEqual(60);
    expect(new Set(all.map(({ name }) => name)).size).toBe(all.length);
    expect(all.filter(({ text }) => text.includes('hush')).length).toBeGreaterThanOrEqual(4);
    expect(all.flatMap(({ lines }) => lines).join('\n')).not.toContain('hush');
  });

  test('the error carries the first place', () => {
    expect(refusalOf('log: {level: loud}\ngatway: x\n')?.place).toEqual({
      file: 'bad.yaml',
      line: 1,
      column: 14,
      key: 'log.level',
    });
  });

  test.each([
    ['a file that is not there', 'nowhere.yaml', 'there is no such file'],
    ['a folder', '.', 'it is a folder'],
    ['a path through a file', 'file/x.yaml', 'a part of the path is not a folder'],
  ])('%s', (_, name, reason) => {
    writeFileSync(path.join(folder, 'file'), '');
    const file = path.join(folder, name);
    expect(() => loadConfig(file, HERE)).toThrow(
      `${file}: can't read the configuration: ${reason}`,
    );
  });

  test('a file of more than 1 MiB', () => {
    const file = path.join(folder, 'large.yaml');
    writeFileSync(file, '#'.repeat(1_048_577));
    expect(() => loadConfig(file, HERE)).toThrow('is too large to be a configuration');
  });
});

describe('good configurations', () => {
  test('a file to trust is relative to the configuration', () => {
    const { config } = parseConfig('clock: {trust: "file:run/synced"}\n', 'a/gatelog.yaml', HERE);
    expect(config.clock.trust).toBe('file:/gatelog-test/a/run/synced');
  });

  test('nothing gives the defaults', () => {
    const config = defaultConfig(HERE);
    expect(config).toMatchObject({
      data: '/gatelog-test/gatelog-data',
      log: { level: 'info', format: 'auto' },
      clock: { trust: 'auto', maxDriftMs: 60_000 },
      mqtt: {
        listen: [{ url: 'mqtt://127.0.0.1:1883', allowAnonymous: undefined, tls: undefined }],
        users: [],
        maxPacketBytes: 983_040,
        maxConnections: 10_000,
        central: false,
      },
      topics: {
        telemetry: {
          partitions: 8,
          durability: 'fsync',
          retentionMs: 604_800_000,
          retentionBytes: 1_073_741_824,
        },
      },
      routes: [{ match: '#', topic: 'telemetry', key: '{topic}' }],
      mirrors: {},
    });
    expect(config.gateway).toMatch(/^[A-Za-z0-9._-]{1,100}$/u);
  });

  test('an address has the options of all, but for its own; files are relative to the configuration', () => {
    const text =
      'mqtt:\n  allowAnonymous: true\n  tls: {cert: a.pem, key: /k.pem, minVersion: TLSv1.3}\n  listen:\n' +
      '    - mqtts://0.0.0.0\n    - mqtt://0.0.0.0\n' +
      '    - {url: "wss://h", allowAnonymous: false, tls: {cert: b.pem, ca: ca.pem, requireCertificate: true}}\n';
    const { mqtt } = parseConfig(text, 'etc/gatelog.yaml', HERE).config;
    const all = {
      cert: '/gatelog-test/etc/a.pem',
      key: '/k.pem',
      passphrase: undefined,
      ca: undefined,
      requireCertificate: false,
      minVersion: 'TLSv1.3',
    };
    const own = { cert: '/gatelog-test/etc/b.pem', ca: '/gatelog-test/etc/ca.pem' };
    expect(mqtt.tls).toEqual(all);
    expect(mqtt.listen).toEqual([
      { url: 'mqtts://0.0.0.0', allowAnonymous: true, tls: all },
      { url: 'mqtt://0.0.0.0', allowAnonymous: true, tls: undefined },
      { url: 'wss://h', allowAnonymous: false, tls: { ...all, ...own, requireCertificate: true } },
    ]);
  });

  test('options with nothing behind the colon are as left out', () => {
    const empty = 'log:\nmqtt:\n  users:\nstore:\ntopics:\nroutes:\nmirrors:\n';
    expect(parseConfig(empty, 'a.yaml', HERE).config).toEqual(defaultConfig(HERE));
  });

  test('paths are relative to the file, not to the working folder', () => {
    writeFileSync(path.join(folder, 'secret'), 'of the file\n');
    const file = path.join(folder, 'gatelog.yaml');
    writeFileSync(
      file,
      'data: data\n' +
        'mqtt: {users: [{username: a, password: "${file:secret}"}]}\n' +
        'mirrors: {c: {kafka: {brokers: ["k:1"], sasl: {mechanism: OAUTHBEARER, tokenFile: t}}}}\n',
    );
    const { config } = loadConfig(file, HERE);
    expect(config.data).toBe(path.join(folder, 'data'));
    expect(config.mqtt.users).toEqual([{ username: 'a', password: 'of the file' }]);
    expect(config.mirrors['c']?.upstream).toMatchObject({
      sasl: { mechanism: 'OAUTHBEARER', tokenFile: path.join(folder, 't') },
    });
  });

  test('references stand alone, inside a text, or escaped', () => {
    const { config } = parseConfig(
      'gateway: ${env:GATEWAY}\n' +
        'topics: {t: {partitions: "${env:PARTS}"}}\n' +
        'mqtt: {users: [{username: "a-${env:GATEWAY}", password: "$${env:HUSH}"}]}\n' +
        'routes: [{match: a, topic: t}]\n',
      'a.yaml',
      HERE,
    );
    expect(config.gateway).toBe('gw-9');
    expect(config.topics['t']?.partitions).toBe(3);
    expect(config.mqtt.users).toEqual([{ username: 'a-gw-9', password: '${env:HUSH}' }]);
  });

  test('only the last line end of a secret is cut off', () => {
    for (const [written, read] of [
      ['x\n', 'x'],
      ['x\r\n', 'x'],
      ['x\n\n', 'x\n'],
      [' x ', ' x '],
    ] as const) {
      writeFileSync(path.join(folder, 'secret'), written);
      const text = 'mqtt: {users: [{username: a, password: "${file:secret}"}]}';
      const { config } = parseConfig(text, path.join(folder, 'a.yaml'), HERE);
      expect(config.mqtt.users[0]?.password).toBe(read);
    }
  });

  test('a credential: of the service, of its folder, beside the configuration, or none', () => {
    const given = path.join(folder, 'given');
    const read = (name: string, env: Record<string, string>): string | undefined => {
      const text = `mqtt: {users: [{username: a, password: "\${credential:${name}}"}]}`;
      const file = path.join(folder, 'a.yaml');
      return parseConfig(text, file, { ...HERE, env }).config.mqtt.users[0]?.password;
    };
    for (const [where, name] of [
      ['given', 'own'],
      ['given', 'gatelog_both'],
      ['credentials', 'both'],
      ['credentials', 'beside'],
    ] as const) {
      mkdirSync(path.join(folder, where), { recursive: true });
      writeFileSync(path.join(folder, where, name), `${where}/${name}\n`);
    }
    const service = { CREDENTIALS_DIRECTORY: given };
    expect(read('own', service)).toBe('given/own');
    expect(read('both', service)).toBe('given/gatelog_both');
    expect(read('both', {})).toBe('credentials/both');
    expect(read('beside', service)).toBe('credentials/beside');
    expect(() => read('nowhere', service)).toThrow(
      /mqtt\.users\[0\]\.password: there is no credential nowhere: put it into .*credentials\/nowhere/u,
    );
    expect(() => read('../given/own', service)).toThrow(/is no name of a credential/u);
    expect(() => parseConfig('gateway: ${vault:x}\n', 'bad.yaml', HERE)).toThrow(
      'bad.yaml:1:10: gateway: expected ${NAME}, ${NAME:-DEFAULT}, ${file:PATH}, ${env:NAME}, ${credential:NAME} or ${machine-id}, found ${vault:x}',
    );
  });

  test('anchors and aliases', () => {
    const text = 'topics:\n  a: &one {partitions: 1}\n  b: *one\nroutes: [{match: x, topic: a}]\n';
    const { topics } = parseConfig(text, 'a.yaml', HERE).config;
    expect(topics['b']).toEqual(topics['a']);
    expect(topics['a']?.partitions).toBe(1);
  });

  test('no bounds of retention, create by the cluster, tls as it comes', () => {
    const text =
      'topics: {telemetry: {retention: {time: none, bytes: none}}}\n' +
      'mirrors: {c: {kafka: {brokers: ["[::1]:9092"], tls: true, create: false}},' +
      ' d: {kafka: {brokers: [k:1], create: {partitions: 3}, delivery: at-least-once}}}\n';
    const { config, warnings } = parseConfig(text, 'a.yaml', HERE);
    expect(config.topics['telemetry']?.retentionMs).toBeUndefined();
    expect(config.topics['telemetry']?.retentionBytes).toBeUndefined();
    expect(config.mirrors['c']?.upstream).toMatchObject({ tls: { ca: undefined }, create: false });
    expect(config.mirrors['d']?.upstream).toMatchObject({
      create: { partitions: 3, replicationFactor: -1 },
      tls: undefined,
    });
    expect(warnings).toEqual([
      'a.yaml:1:33: topics.telemetry.retention: has neither time nor bytes: it grows until the disk is full',
    ]);
  });
});

describe('warnings', () => {
  test.each([
    [
      'a mirror pattern that matches nothing',
      'mirrors:\n  c:\n    topics: [telemetry, alarm*]\n    kafka: {brokers: [k:1]}\n',
      'a.yaml:3:25: mirrors.c.topics[1]: "alarm*" matches no topic',
    ],
    [
      'a route behind one that takes everything',
      'routes:\n  - {match: "#", topic: telemetry}\n  - {match: a, topic: telemetry}\n',
      'a.yaml:3:5: routes[1]: is never reached: route 1 takes everything it matches',
    ],
    [
      'a reserve that the cap has no room for',
      'store:\n  maxBytes: 256MiB\n  reserve: 64MiB\n',
      'a.yaml:3:12: store.reserve: is more than an eighth of store.maxBytes: only 32.0 MiB are kept',
    ],
    [
      'a topic without a route',
      'topics: {telemetry: {}, alarms: {}}\n',
      'a.yaml:1:33: topics.alarms: no route leads to this topic',
    ],
    [
      'windows where nobody knows the time',
      'clock: {trust: never}\nmirrors: {c: {mqtt: {url: "mqtt://h:1"}, link: {windows: [{from: "0 2 * * *", for: 3h}]}}}\n',
      'a.yaml:2:58: mirrors.c.link.windows: never open where clock.trust is never: nobody knows the time',
    ],
    [
      'a budget where nobody knows the time',
      'clock: {trust: never}\nmirrors: {c: {mqtt: {url: "mqtt://h:1"}, link: {budget: [{bytes: 5MB, per: day}]}}}\n',
      'a.yaml:2:57: mirrors.c.link.budget: never begins anew where clock.trust is never: nobody knows the time',
    ],
    [
      'one transactional id and group in what may be one cluster',
      'mirrors: {a: {kafka: {brokers: [k:1], group: g}}, b: {kafka: {brokers: [l:1]}}}\n',
      'a.yaml:1:62: mirrors.b.kafka.transactionalId: is that of mirror "a" too, which works only if these are two clusters',
    ],
    [
      'one client id at what may be one broker',
      'mirrors: {a: {mqtt: {url: "mqtt://h:1"}}, b: {mqtt: {url: "mqtt://g:1"}}}\n',
      'a.yaml:1:53: mirrors.b.mqtt.clientId: is that of mirror "a" too, which works only if these are two brokers',
    ],
    [
      'the same records under the same names to one broker',
      'mirrors: {a: {mqtt: {url: "mqtt://h:1"}}, b: {mqtt: {url: "mqtt://h:1", clientId: b}}}\n',
      'a.yaml:1:53: mirrors.b.mqtt.topic: mirror "a" sends telemetry to the same broker under the same names: unless that is a central gatelog, every record arrives twice',
    ],
    [
      'a password on the open wire',
      'mirrors: {c: {kafka: {brokers: [k:1], sasl: {mechanism: PLAIN, username: u, password: p}}}}\n',
      'a.yaml:1:57: mirrors.c.kafka.sasl.mechanism: PLAIN without tls sends the password readable for all',
    ],
  ])('%s', (_, text, warning) => {
    expect(parseConfig(text, 'a.yaml', HERE).warnings).toEqual([warning]);
  });
});
