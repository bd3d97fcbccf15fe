import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { configFiles, loadConfig, type LoadedConfig } from '../../src/agent/config.ts';
import { filesMatching } from '../../src/agent/config-pattern.ts';
import { redactConfig } from '../../src/agent/config-redaction.ts';
import { messageOf } from '../../src/errors.ts';

/** A configuration of several files. */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-include-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const CENTRAL = 'mirrors: {central: {kafka: {brokers: ["k:1"]}}}\n';

function write(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(path.dirname(path.join(folder, name)), { recursive: true });
    writeFileSync(path.join(folder, name), text);
  }
}

function load(env: Readonly<Record<string, string>> = {}): LoadedConfig {
  return loadConfig('gatelog.yaml', { env, workingFolder: folder });
}

function refusal(): string[] {
  try {
    load();
  } catch (error) {
    return messageOf(error).split('\n');
  }
  return [];
}

describe('files are put together', () => {
  test('maps are, lists follow each other, those of included files first', () => {
    write({
      'gatelog.yaml':
        'include: [conf.d/*.yaml]\nmqtt: {maxConnections: 7, listen: [mqtt://127.0.0.1:1]}\n' +
        `routes: [{match: "#", topic: telemetry}]\n${CENTRAL}`,
      'conf.d/20-press.yaml':
        'topics: {press: {partitions: 2}}\nroutes: [{match: press/#, topic: press}]\n' +
        'mirrors: {central: {topics: [press]}}\nmqtt: {listen: [mqtt://127.0.0.1:2]}\n',
      'conf.d/10-oven.yaml':
        'topics: {oven: {}, press: {priority: 3}}\nroutes: [{match: oven/#, topic: oven}]\nmqtt:\n',
    });
    const { config, warnings, files } = load();
    expect(warnings).toEqual([]);
    expect(config.routes.map(({ topic }) => topic)).toEqual(['oven', 'press', 'telemetry']);
    expect(config.topics).toMatchObject({ oven: {}, press: { partitions: 2, priority: 3 } });
    expect(config.mqtt.maxConnections).toBe(7);
    expect(config.mqtt.listen.map(({ url }) => url)).toEqual([
      'mqtt://127.0.0.1:2',
      'mqtt://127.0.0.1:1',
    ]);
    expect(config.mirrors['central']).toMatchObject({ topics: ['press'] });
    expect(files.map(({ file }) => file)).toEqual([
      'gatelog.yaml',
      'conf.d/10-oven.yaml',
      'conf.d/20-press.yaml',
    ]);
  });

  test('names come from the environment, too; a pattern may match nothing', () => {
    write({
      'gatelog.yaml': 'include: ["site-${SITE}.yaml", "none/*.yaml", "site-?.txt"]\n',
      'site-north.yaml': 'gateway: gw-${SITE}\n',
    });
    expect(load({ SITE: 'north' }).config.gateway).toBe('gw-north');
    write({ 'gatelog.yaml': 'include:\nlog: {level: warn}\n' });
    expect(load().config.log.level).toBe('warn');
  });

  test('paths and secrets are beside their own file, credentials beside the first', () => {
    write({
      'gatelog.yaml': 'include: [site/a.yaml]\nmqtt: {aclFile: rules}\n',
      'site/a.yaml':
        'data: data\nclock: {trust: "file:synced"}\n' +
        'mqtt:\n  usersFile: users\n  allowAnonymous: true\n  tls: {cert: c.pem, key: /k.pem}\n' +
        '  listen: [{url: "mqtts://127.0.0.1:1", tls: {cert: own.pem}}]\n' +
        '  users: [{username: a, password: "${file:secret}"}, {username: b, password: "${credential:b}"}]\n' +
        '  jwt: {keys: keys.pem, user: sub}\n' +
        'mirrors: {c: {kafka: {brokers: ["k:1"], sasl: {mechanism: OAUTHBEARER, tokenFile: t}, tls: true}}}\n',
      'site/secret': 'of-a\n',
      'credentials/b': 'of-b\n',
    });
    const { config } = load();
    const site = path.join(folder, 'site');
    expect(config).toMatchObject({
      data: path.join(site, 'data'),
      clock: { trust: `file:${path.join(site, 'synced')}` },
      mqtt: {
        aclFile: path.join(folder, 'rules'),
        usersFile: path.join(site, 'users'),
        tls: { cert: path.join(site, 'c.pem'), key: '/k.pem' },
        listen: [{ tls: { cert: path.join(site, 'own.pem'), key: '/k.pem' } }],
        users: [{ password: 'of-a' }, { password: 'of-b' }],
        jwt: { keys: { file: path.join(site, 'keys.pem') } },
      },
      mirrors: { c: { upstream: { sasl: { tokenFile: path.join(site, 't') } } } },
    });
  });

  test('what may be shown is shown file by file, and who holds secrets is known', () => {
    write({
      'gatelog.yaml': 'include: [a.yaml, b.yaml]\nhttp: {token: "${credential:t}"}\n',
      'a.yaml': 'mqtt: {users: [{username: a, password: hush-a}]}\n',
      'b.yaml': 'routes: [\n',
    });
    const surroundings = { env: {}, workingFolder: folder };
    const files = configFiles('gatelog.yaml', surroundings);
    const { shown, secrets, ...rest } = redactConfig(files, surroundings);
    expect(shown).toBe(
      '# gatelog.yaml\ninclude:\n  - a.yaml\n  - b.yaml\nhttp:\n  token: ${credential:t}\n' +
        '---\n# a.yaml\nmqtt:\n  users:\n    - username: a\n      password: (not shown)\n' +
        '---\n# b.yaml: no YAML, not shown\n',
    );
    expect(secrets).toEqual(['hush-a']);
    expect(rest).toEqual({
      inline: ['mqtt.users[0].password'],
      files: [path.join(folder, 'a.yaml')],
    });
  });
});

describe('what is wrong is told with its file and line', () => {
  test.each<[name: string, files: Record<string, string>, lines: string[]]>([
    [
      'in included files, in their order',
      {
        'gatelog.yaml': 'log: {level: loud}\ninclude: [b.yaml, conf.d/a.yaml]\n',
        'b.yaml': '\nroutes: [{match: a, topic: t, kay: x}]\n',
        'conf.d/a.yaml': 'routes:\n  - {match: a/#/b, topic: t}\nstore: {segment: 1}\n',
      },
      [
        'gatelog.yaml:1:14: log.level: expected debug, info, warn or error, found "loud"',
        'b.yaml:2:31: routes[0].kay: unknown option (did you mean "key"?)',
        'conf.d/a.yaml:3:18: store.segment: expected a size from 1MiB to 1GiB, such as 64MiB, found the number 1',
      ],
    ],
    [
      'rules that need the whole',
      {
        'gatelog.yaml': 'include: [a.yaml]\nstore: {segment: 64MiB}\n',
        'a.yaml': 'store:\n  maxBytes: 100MiB\n',
      },
      [
        'a.yaml:2:13: store.maxBytes: is less than 4 times store.segment: space is given back a whole segment at a time, and a reserve is kept beside',
      ],
    ],
    [
      'one option in two places, equal or not, and a map where another has none',
      {
        'gatelog.yaml': 'include: [a.yaml]\ngateway: g\nmirrors: {c: {kafka: {create: false}}}\n',
        'a.yaml':
          'gateway: g\nmirrors:\n  c: {kafka: {brokers: ["k:1"], create: {partitions: 3}}}\n',
      },
      [
        'gatelog.yaml:2:1: gateway: stands in a.yaml:1:1: gateway too, and can be written in one place only',
        'gatelog.yaml:3:23: mirrors.c.kafka.create: stands in a.yaml:3:33: mirrors.c.kafka.create too, and can be written in one place only',
      ],
    ],
    [
      'a user in two files',
      {
        'gatelog.yaml': 'include: [a.yaml]\nmqtt: {users: [{username: a, password: x}]}\n',
        'a.yaml': 'mqtt: {users: [{username: a, password: y}]}\n',
      },
      ['gatelog.yaml:2:27: mqtt.users[0].username: this user name is listed twice'],
    ],
    [
      'a file that is not there, one that is a folder, and nothing else before they can be read',
      {
        'gatelog.yaml': 'include:\n  - nowhere.yaml\n  - conf.d\nmirrors: {c: {topics: [a]}}\n',
        'conf.d/a.yaml': '',
      },
      [
        "gatelog.yaml:2:5: include[0]: can't read nowhere.yaml: there is no such file",
        "gatelog.yaml:3:5: include[1]: can't read conf.d: it is a folder; conf.d/*.yaml is every such file in it",
      ],
    ],
    [
      'no YAML, and no map',
      {
        'gatelog.yaml': 'include: [a.yaml, b.yaml]\n',
        'a.yaml': 'mqtt:\n\tcentral: true\n',
        'b.yaml': '- a\n',
      },
      [
        'a.yaml:2:1: not valid YAML: tabs are not allowed as indentation',
        'b.yaml:1:1: expected a map of options, as every file of one configuration has',
      ],
    ],
    [
      'no list of files',
      { 'gatelog.yaml': 'include: conf.d/*.yaml\n' },
      [
        'gatelog.yaml:1:10: include: expected a list, such as [conf.d/*.yaml], found "conf.d/*.yaml"',
      ],
    ],
    [
      'folders of any depth',
      { 'gatelog.yaml': 'include: ["**/*.yaml"]\n' },
      [
        'gatelog.yaml:1:11: include[0]: expected the path of a file, or a pattern such as conf.d/*.yaml, without **, found "**/*.yaml"',
      ],
    ],
    [
      'a circle',
      {
        'gatelog.yaml': 'include: [conf.d/a.yaml]\n',
        'conf.d/a.yaml': 'include: [../b.yaml]\n',
        'b.yaml': 'log: {level: info}\ninclude: ["conf.d/*.yaml"]\n',
      },
      ['b.yaml:2:11: include[0]: includes go in a circle: conf.d/a.yaml → b.yaml → conf.d/a.yaml'],
    ],
    [
      'a pattern that matches its own file',
      { 'gatelog.yaml': 'include: ["*.yaml"]\n', 'a.yaml': '' },
      ['gatelog.yaml:1:11: include[0]: includes go in a circle: gatelog.yaml → gatelog.yaml'],
    ],
    [
      'one file twice',
      { 'gatelog.yaml': 'include: [a.yaml, "?.yaml"]\n', 'a.yaml': '' },
      [
        'gatelog.yaml:1:19: include[1]: a.yaml is included a second time; the first is gatelog.yaml:1:11: include[0]',
      ],
    ],
  ])('%s', (_, files, lines) => {
    write(files);
    expect(refusal()).toEqual(lines);
  });

  test('too deep, too many, too large', () => {
    write({
      'gatelog.yaml': 'include: [1.yaml]\n',
      ...Object.fromEntries(
        [1, 2, 3, 4, 5, 6, 7, 8, 9].map((n) => [`${n}.yaml`, `include: [${n + 1}.yaml]\n`]),
      ),
    });
    expect(refusal()).toEqual([
      '8.yaml:1:11: include[0]: includes go deeper than 8 files: gatelog.yaml → 1.yaml → 2.yaml → ' +
        '3.yaml → 4.yaml → 5.yaml → 6.yaml → 7.yaml → 8.yaml → 9.yaml',
    ]);
    write({ 'gatelog.yaml': 'include: ["many/*", large]\n', large: '#'.repeat(1_048_577) });
    for (let number = 100; number < 300; number++) write({ [`many/${number}`]: '' });
    expect(refusal()).toEqual([
      'gatelog.yaml:1:11: include[0]: more than 200 files are one configuration',
      'gatelog.yaml:1:21: include[1]: more than 200 files are one configuration',
    ]);
    write({ 'gatelog.yaml': 'include: [large]\n' });
    expect(refusal()).toEqual([
      'gatelog.yaml:1:11: include[0]: large is too large to be a configuration (more than 1 MiB)',
    ]);
  });

  test('a route that never counts names the one of another file', () => {
    write({
      'gatelog.yaml': 'include: [a.yaml]\nroutes: [{match: b, topic: telemetry}]\n',
      'a.yaml': 'routes:\n  - {match: "#", topic: telemetry}\n',
    });
    expect(load().warnings).toEqual([
      'gatelog.yaml:2:10: routes[0]: is never reached: the one at a.yaml:2:5: routes[0] takes everything it matches',
    ]);
  });
});

describe('patterns', () => {
  test('match in the order of names, files only, none that begins with a dot', () => {
    write({
      'b/y.yaml': '',
      'a/y.yaml': '',
      'a/x.yaml': '',
      'a/.hidden.yaml': '',
      'a/x.yaml~': '',
      'a/folder.yaml/z': '',
    });
    symlinkSync('nowhere', path.join(folder, 'b/link.yaml'));
    const names = filesMatching('[ab]/*.yaml', folder).map((file) => path.relative(folder, file));
    // A link to nothing is told when it is read.
    expect(names).toEqual(['a/x.yaml', 'a/y.yaml', 'b/link.yaml', 'b/y.yaml']);
    expect(filesMatching('*/x.yaml', folder)).toEqual([path.join(folder, 'a/x.yaml')]);
    expect(filesMatching('none/*', folder)).toEqual([]);
    expect(filesMatching('a/x.yaml/*', folder)).toEqual([]);
  });

  test('a folder that can not be looked through is told', () => {
    write({ 'gatelog.yaml': 'include: ["a/*.yaml"]\n' });
    symlinkSync('a', path.join(folder, 'a'));
    expect(refusal()).toEqual([
      expect.stringMatching(
        /^gatelog\.yaml:1:11: include\[0\]: can't look for a\/\*\.yaml: ELOOP/u,
      ),
    ]);
  });
});
