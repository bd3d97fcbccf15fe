import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { redactConfig } from '../../src/agent/config-redaction.ts';

/** What of a configuration may leave the machine, wherever somebody wrote a secret. */
let folder: string;
beforeAll(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-redaction-'));
  writeFileSync(path.join(folder, 'kafka'), 'hush-file\n');
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const redact = (text: string): ReturnType<typeof redactConfig> =>
  redactConfig([{ file: path.join(folder, 'gatelog.yaml'), text }], {
    env: { HUSH: 'hush-env' },
    workingFolder: folder,
  });

test('options stay, secrets go, wherever they stand', () => {
  const { shown, secrets, inline, files } = redact(`
gateway: gw-1 # hush-comment
mqtt:
  users: [{username: press-1, password: hush-1}]
  jwt: {secret: "hush-2-0123456789012345678901234567"}
  pasword: hush-3
whatever: {deep: [hush-4]}
metrics:
  otlp: {url: "https://c/", headers: {Authorization: "Bearer \${file:kafka}", X-Key: hush-7}}
routes: [{match: "#", topic: t, key: "{topic}"}]
mirrors:
  a:
    kafka:
      brokers: [kafka-1:9092]
      sasl: {mechanism: PLAIN, username: gw, password: "\${file:kafka}"}
      tls: {key: "-----BEGIN PRIVATE KEY-----\\nhush-5\\n-----END PRIVATE KEY-----"}
  b:
    mqtt: {url: "mqtts://gw:hush-6@centre", password: "x\${env:HUSH}"}
`);
  expect(shown).not.toMatch(/hush/u);
  expect(shown).toMatch(/gateway: gw-1\n/u);
  expect(shown).toMatch(/key: "\{topic\}"/u);
  expect(shown).toMatch(/password: \$\{file:kafka\}/u);
  expect(shown).toMatch(/Authorization: Bearer \$\{file:kafka\}/u);
  expect(shown).toMatch(/url: mqtts:\/\/\(not shown\)@centre/u);
  expect(shown).toMatch(/pasword: "\(not shown: no option of gatelog\)"/u);
  const planted = ['hush-1', 'hush-3', 'hush-4', 'hush-6', 'hush-7', 'hush-file', 'hush-env'];
  const known = planted.filter((secret) => secrets.some((text) => text.includes(secret)));
  expect(known).toEqual(planted);
  expect(inline).toEqual([
    'mqtt.users[0].password',
    'mqtt.jwt.secret',
    'metrics.otlp.headers.X-Key',
    'mirrors.a.kafka.tls.key',
    'mirrors.b.mqtt.password',
  ]);
  expect(files).toEqual([path.join(folder, 'gatelog.yaml'), path.join(folder, 'kafka')]);
});

test('tokens of the HTTP side go, and a variable whose default says what the secret may be', () => {
  const { shown, secrets, inline } = redact(`
http: {token: "hush;1", adminToken: "hush;2"}
mqtt:
  users:
    - {username: a, password: "\${env:PW:-hush-3}"}
    - {username: b, password: "\${PW:-hush-4}"}
    - {username: c, password: "\${PW}"}
    - {username: d, password: "\${credential:d}"}
`);
  expect(shown).not.toMatch(/hush/u);
  expect(shown).toMatch(/password: \$\{PW\}/u);
  expect(shown).toMatch(/password: \$\{credential:d\}/u);
  expect(secrets).toEqual(expect.arrayContaining(['hush;1', 'hush;2', 'hush-3', 'hush-4']));
  expect(inline).toEqual([
    'http.token',
    'http.adminToken',
    'mqtt.users[0].password',
    'mqtt.users[1].password',
  ]);
});

test.each([
  ['no YAML', 'a: [hush'],
  ['a list', '- hush'],
  ['an alias within itself', 'a: &x {b: *x, password: hush}'],
])('%s is not shown at all', (_, text) => {
  expect(redact(text).shown).toBeUndefined();
});

test('an empty file is one', () => {
  expect(redact('')).toEqual({ shown: '{}\n', secrets: [], inline: [], files: [] });
});
