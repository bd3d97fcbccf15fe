import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { parseConfig } from '../../../src/agent/config.ts';
import { answersOf, type InitFlags } from '../../../src/cli/init/flag-answers.ts';
import { nextLines } from '../../../src/cli/init/next-lines.ts';
import { configText } from '../../../src/cli/init/text.ts';
import { seededRandom } from '../../../src/random.ts';

/** What `gatelog init` makes of flags, and that what it writes is good and means what was said. */
const NO_SECRETS = { passwords: new Map(), upstreamPassword: undefined };

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-init-'));
  writeFileSync(path.join(folder, 'ca "1".pem'), '-----BEGIN CERTIFICATE-----\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function answers(flags: InitFlags, upstreamPassword?: string): ReturnType<typeof answersOf> {
  const surroundings = { workingFolder: folder, random: seededRandom(1) };
  return answersOf(flags, { ...NO_SECRETS, upstreamPassword }, surroundings);
}

function configOf(flags: InitFlags, upstreamPassword?: string): ReturnType<typeof parseConfig> {
  const file = path.join(folder, 'gatelog.yaml');
  const text = configText(answers(flags, upstreamPassword), 'env:SECRET', file);
  const env = { SECRET: upstreamPassword ?? '' };
  return parseConfig(text, file, { env, workingFolder: folder });
}

test('without a flag: loopback, the log here, no mirror, and no warning', () => {
  const { config, warnings } = configOf({});
  expect(warnings).toEqual([]);
  expect(config).toMatchObject({
    data: path.join(folder, 'gatelog-data'),
    mqtt: { listen: [{ url: 'mqtt://127.0.0.1:1883' }] },
    mirrors: {},
  });
});

test('everything: each flag is in the configuration, whatever characters it has', () => {
  const flags: InitFlags = {
    gateway: '1e3',
    data: 'a ${folder}: #x',
    listen: ['mqtts://0.0.0.0:8883', 'mqtt://127.0.0.1:1883'],
    cert: 'cert.pem',
    key: 'key "2".pem',
    user: ['press-1'],
    acl: 'open',
    kafka: 'kafka-1:9092, [::1]:9093',
    kafkaCa: 'ca "1".pem',
    kafkaUser: 'gw "1" ${env:X}',
    kafkaMechanism: 'PLAIN',
  };
  const { config, warnings } = configOf(flags, 'p"w: #${x}');
  expect(warnings).toEqual([]);
  expect(config).toMatchObject({
    gateway: '1e3',
    gatewayGiven: true,
    data: path.join(folder, 'a ${folder}: #x'),
    mqtt: {
      usersFile: path.join(folder, 'users'),
      aclKind: 'open',
      listen: [
        {
          url: 'mqtts://0.0.0.0:8883',
          tls: { cert: path.join(folder, 'cert.pem'), key: path.join(folder, 'key "2".pem') },
        },
        { url: 'mqtt://127.0.0.1:1883', tls: undefined },
      ],
    },
    mirrors: {
      central: {
        upstream: {
          brokers: ['kafka-1:9092', '[::1]:9093'],
          tls: { ca: '-----BEGIN CERTIFICATE-----' },
          sasl: { mechanism: 'PLAIN', username: 'gw "1" ${env:X}', password: 'p"w: #${x}' },
        },
      },
    },
  });
});

test('a central gatelog instead of Kafka', () => {
  const flags: InitFlags = {
    upstream: 'mqtts://centre.example:8883',
    upstreamCa: 'ca "1".pem',
    upstreamUser: 'gw "1" ${env:X}',
  };
  const { config, warnings } = configOf(flags, 'p"w: #${x}');
  expect(warnings).toEqual([]);
  expect(config.mirrors['central']?.upstream).toMatchObject({
    kind: 'mqtt',
    url: 'mqtts://centre.example:8883',
    tls: { ca: '-----BEGIN CERTIFICATE-----' },
    username: 'gw "1" ${env:X}',
    password: 'p"w: #${x}',
  });
  const bare = configOf({ upstream: 'ws://centre.example/mqtt' }).config.mirrors['central'];
  expect(bare?.upstream).toMatchObject({ url: 'ws://centre.example/mqtt', tls: undefined });
});

test('a password that is made is long, of letters and digits, and another one each time', () => {
  const made = answers({ user: ['a', 'b'] }).users.map(({ password }) => String(password));
  expect(made[0]).toMatch(/^[0-9a-hjkmnp-tv-z]{24}$/u);
  expect(made[1]).not.toBe(made[0]);
});

test.each<readonly [string, InitFlags, RegExp]>([
  [
    'a network that anybody could use',
    { listen: ['mqtt://0.0.0.0:1883'] },
    /name users with --user/u,
  ],
  ['TLS without a certificate', { listen: ['mqtts://127.0.0.1'] }, /--cert FILE --key FILE/u],
  ['half a certificate', { cert: 'x' }, /go together/u],
  ['no address', { listen: ['here'] }, /--listen: expected an address/u],
  ['no gateway id', { gateway: 'a b' }, /--gateway: expected a name/u],
  ['no user name', { user: ['a:b'] }, /--user: expected a user name/u],
  ['no broker', { kafka: 'kafka-1' }, /--kafka: expected an address/u],
  ['a login to nowhere', { kafkaUser: 'x' }, /--kafka-user wants the brokers/u],
  ['a CA of nobody', { kafkaCa: 'x' }, /--kafka-ca wants the brokers/u],
  ['no password', { kafka: 'k:1', kafkaUser: 'x' }, /--kafka-password-file FILE/u],
  ['no address of a broker', { upstream: 'centre:1883' }, /--upstream: expected an address/u],
  ['two far sides', { kafka: 'k:1', upstream: 'mqtt://c' }, /--kafka and --upstream are two/u],
  ['a CA without TLS', { upstream: 'mqtt://c', upstreamCa: 'x' }, /an address with TLS/u],
  ['a user of nowhere', { upstreamUser: 'x' }, /--upstream-user wants the broker/u],
  [
    'no password there',
    { upstream: 'mqtt://c', upstreamUser: 'x' },
    /password of x .* --upstream-password-file FILE/u,
  ],
  [
    'a password of no user',
    { upstream: 'mqtt://c', upstreamPasswordFile: 'x' },
    /--upstream-user NAME/u,
  ],
  ['a password of nobody', { kafka: 'k:1', kafkaPasswordFile: 'x' }, /--kafka-user NAME/u],
])('refused: %s', (_, flags, message) => {
  expect(() => answers(flags)).toThrow(message);
});

test('for the package’s service: its documents, and systemd, not a second agent by hand', () => {
  const file = '/etc/gatelog/gatelog.yaml';
  const given = answers({ user: ['press-1'], listen: ['mqtt://0.0.0.0:1884'] });
  const text = configText(given, 'env:SECRET', file);
  expect(text).toContain('/usr/share/doc/gatelog/docs/reference.md');
  expect(text).not.toMatch(/(?<!gatelog\/)docs\//u);
  const next = nextLines(file, { ...given, hasMirror: true }).join('\n');
  expect(next).toMatch(/sudo systemctl restart gatelog\n.*-p 1884 -u press-1 .*-t press-1\/test/u);
  expect(next).not.toContain('gatelog run');
  const own = nextLines('/srv/gatelog.yaml', { ...given, hasMirror: false }).join('\n');
  expect(own).toContain('gatelog run --config /srv/gatelog.yaml');
  expect(own).not.toContain('mirror status');
});
