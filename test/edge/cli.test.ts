import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { CliFolder } from '../support/cli.ts';

/** The command line without an agent: grammar, help, and the words of refusal. */
let cli: CliFolder;
beforeAll(() => {
  cli = new CliFolder();
});
afterAll(() => cli.remove());

describe('help', () => {
  test('--version', async () => {
    expect(await cli.run(['--version'])).toMatchObject({ code: 0, stdout: '0.1.0\n', stderr: '' });
  });

  test('--help names every command and shows examples', async () => {
    const { code, stdout } = await cli.run(['--help']);
    expect(code).toBe(0);
    for (const command of ['run', 'config', 'topics', 'consume', 'status', 'mirror', 'verify']) {
      expect(stdout).toMatch(new RegExp(`^  gatelog ${command}\\b`, 'mu'));
    }
    expect(stdout).toContain('Examples:');
    expect(stdout).toContain('GATELOG_DEBUG=1');
  });

  test.each(['run', 'config check', 'topics', 'consume', 'status', 'mirror seek', 'verify'])(
    '%s --help has examples',
    async (command) => {
      const { code, stdout } = await cli.run([...command.split(' '), '--help']);
      expect(code).toBe(0);
      expect(stdout).toContain('Examples:');
    },
  );

  test('completion prints a script, and completes commands', async () => {
    const script = await cli.run(['completion'], { SHELL: '/bin/bash' });
    expect(script).toMatchObject({ code: 0 });
    expect(script.stdout).toContain('complete -o bashdefault');
    const words = await cli.run(['--get-yargs-completions', 'gatelog', '']);
    expect(words.stdout.split('\n')).toEqual(expect.arrayContaining(['run', 'consume', 'verify']));
  });
});

describe('wrong calls', () => {
  test.each([
    [[], 64, 'which command? Say gatelog --help'],
    [['rnu'], 64, 'did you mean run?'],
    [['mirror'], 64, 'what about the mirrors? Say gatelog mirror --help'],
    [['run', '--dta', 'x'], 64, 'unknown argument: dta (did you mean --data?)'],
    [['run', '--data'], 64, 'not enough arguments following: data'],
    [['run', '--data', 'a', '--data', 'b'], 64, '--data is given more than once; give it once'],
    [['run', 'now'], 64, 'unknown argument: now'],
    [['consume'], 64, 'an argument is missing; --help shows how the command is called'],
    [
      ['consume', 't', '--from', 'later'],
      64,
      '--from: expected beginning, end, an offset, or a time such as 2026-11-22T08:00:00Z, found "later"',
    ],
    [
      ['consume', 't', '--limit', 'x'],
      64,
      '--limit: expected a whole number, found something else',
    ],
    [['consume', 't', '--partition', '-1'], 64, '--partition: expected a whole number, found "-1"'],
    [['config', 'check'], 64, 'which file? Say gatelog config check FILE'],
    [
      ['run', '--mqtt', 'tcp://x'],
      78,
      '--mqtt: expected an address such as mqtt://127.0.0.1:1883 (or mqtts, ws, wss, unix:///PATH), found "tcp://x"',
    ],
    [
      ['run', '--config', 'nowhere.yaml'],
      78,
      "nowhere.yaml: can't read the configuration: there is no such file",
    ],
    [
      ['verify'],
      64,
      'verify what? Name a cluster with --kafka, a configuration with --config, or a central data folder with --log',
    ],
  ] as const)('%j', async (args, code, message) => {
    expect(await cli.run(args)).toEqual({
      code,
      signal: null,
      stdout: '',
      stderr: `gatelog: ${message}\n`,
    });
  });

  test('GATELOG_DEBUG=1 adds the stack', async () => {
    const { stderr } = await cli.run(['config', 'check'], { GATELOG_DEBUG: '1' });
    expect(stderr).toMatch(/^gatelog: which file\?.*\nGatelogError: which file\?.*\n {4}at /u);
  });

  test('no folder, no agent', async () => {
    const folder = path.join(cli.folder, 'gatelog-data');
    const absent = `gatelog: there is no data folder ${folder}; name it with --data DIR or --config FILE\n`;
    for (const args of [['topics'], ['consume', 'telemetry']]) {
      expect(await cli.run(args)).toMatchObject({ code: 66, stdout: '', stderr: absent });
    }
    const silent = `gatelog: no agent is running on ${folder}; start one with gatelog run --data ${folder}\n`;
    for (const args of [['status'], ['mirror', 'status'], ['mirror', 'pause', 'central']]) {
      expect(await cli.run(args)).toMatchObject({ code: 69, stdout: '', stderr: silent });
    }
    expect(await cli.run(['consume', 'telemetry', '--follow'])).toMatchObject({
      code: 69,
      stderr: `gatelog: there is nothing to follow: no agent is running on ${folder}\n`,
    });
  });
});

describe('config check', () => {
  test('a good file', async () => {
    writeFileSync(path.join(cli.folder, 'good.yaml'), 'gateway: gw-1\n');
    expect(await cli.run(['config', 'check', 'good.yaml'])).toMatchObject({
      code: 0,
      stdout: 'good.yaml: good (1 topic, 1 route, 0 mirrors)\n',
      stderr: '',
    });
  });

  test('a bad file: every line of it, and exit code 78', async () => {
    writeFileSync(path.join(cli.folder, 'bad.yaml'), 'gatway: x\nstore: {linger: 5}\n');
    const stderr =
      'gatelog: bad.yaml:1:1: gatway: unknown option (did you mean "gateway"?)\n' +
      'gatelog: bad.yaml:2:17: store.linger: expected a duration from 0ms to 1s, such as 5ms, found the number 5\n';
    expect(await cli.run(['config', 'check', 'bad.yaml'])).toMatchObject({ code: 78, stderr });
    expect(await cli.run(['run', '--config', 'bad.yaml'])).toMatchObject({ code: 78, stderr });
  });

  test('a file that is probably not meant', async () => {
    writeFileSync(path.join(cli.folder, 'odd.yaml'), 'topics: {telemetry: {}, alarms: {}}\n');
    expect(await cli.run(['config', 'check', 'odd.yaml'])).toMatchObject({
      code: 0,
      stdout: 'odd.yaml: good, with 1 warning (2 topics, 1 route, 0 mirrors)\n',
      stderr: 'gatelog: warning: odd.yaml:1:33: topics.alarms: no route leads to this topic\n',
    });
  });

  test('colours only where they are wanted', async () => {
    const colour = await cli.run(['config', 'check', 'good.yaml'], {
      NO_COLOR: '',
      FORCE_COLOR: '1',
    });
    expect(colour.stdout).toContain('\u001B[32mgood\u001B[39m');
    const plain = await cli.run(['config', 'check', 'good.yaml'], { FORCE_COLOR: '1' });
    expect(plain.stdout).not.toContain('\u001B');
  });
});

test('a folder for an export that can not be made is said at once', async () => {
  const to = '/proc/gatelog-export';
  expect(await cli.run(['export', 'central', '--to', to])).toMatchObject({
    code: 74,
    stderr: expect.stringContaining(`can't make the folder ${to}`),
  });
});

test('GATELOG_CONFIG is the configuration of whatever takes one and was given none', async () => {
  const own = path.join(cli.folder, 'own.yaml');
  writeFileSync(own, 'data: ./elsewhere\nmqtt: { usersFile: users }\n');
  const env = { GATELOG_CONFIG: own };
  const absent = await cli.run(['topics'], env);
  expect(absent.stderr).toContain(path.join(cli.folder, 'elsewhere'));
  const users = path.join(cli.folder, 'users');
  writeFileSync(users, '');
  expect(await cli.run(['config', 'check'], env)).toMatchObject({ code: 0 });
  const rule = await cli.run(['acl', 'check', 'press-1', 'publish', 'press-1/heat'], env);
  expect(rule).toMatchObject({ code: 0 });
  const given = await cli.run(['topics', '--config', 'no-such.yaml'], env);
  expect(given.stderr).toContain('no-such.yaml');
  // Commands without the option are as they were.
  expect(await cli.run(['gaps', '--help'], env)).toMatchObject({ code: 0 });
  const none = await cli.run(['topics'], { GATELOG_CONFIG: '' });
  expect(none.stderr).toContain(cli.data);
});
