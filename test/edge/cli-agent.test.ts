import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { RecordJson } from '../../src/admin/record-json.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { CliFolder, publish } from '../support/cli.ts';

const PATIENT = { timeout: 30_000, interval: 50 };

/** The command line with a real agent: beside it while it runs, and on its folder afterwards. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const BINARY = Buffer.from([0xff, 0x00, 0x0a, 0x80]);

function recordsOf(stdout: string): RecordJson[] {
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as RecordJson);
}

describe('looking in', () => {
  test('consume, topics and status say the same beside a running agent and after it', async () => {
    const { agent, url } = await cli.startAgent();
    await publish(url, [
      { topic: 'plant/1', payload: 'one' },
      { topic: 'plant/1', payload: 'two\u001B[31m' },
      { topic: 'bin', payload: BINARY },
    ]);
    const beside = await cli.run(['consume', 'telemetry', '--json']);
    const topics = await cli.run(['topics', '--json']);
    const status = await cli.run(['status', '--json']);
    expect(await agent.stop()).toEqual({ code: 0, signal: null });
    expect(agent.stdout()).toContain('"event":"agent.stopped"');
    const after = await cli.run(['consume', 'telemetry', '--json']);

    expect(beside).toMatchObject({ code: 0, stderr: '' });
    expect(after).toEqual(beside);
    expect(await cli.run(['topics', '--json'])).toEqual(topics);
    const records = recordsOf(beside.stdout);
    expect(records).toHaveLength(3);
    expect(records.find(({ key }) => key === 'bin')).toMatchObject({
      topic: 'telemetry',
      offset: 0,
      valueBase64: BINARY.toString('base64'),
      headers: [
        { key: 'mqtt.topic', value: 'bin' },
        { key: 'mqtt.qos', value: '1' },
        { key: 'mqtt.retain', value: '0' },
      ],
    });
    expect(JSON.parse(topics.stdout)).toMatchObject({ name: 'telemetry', records: 3 });
    expect(JSON.parse(status.stdout) as AgentStatus).toMatchObject({
      version: '0.1.0',
      data: cli.data,
      pid: agent.pid,
      listeners: [url],
      ingest: { received: 3, appended: { fsync: 3 }, failed: 0 },
      store: { recordsAppended: 3 },
      wear: { processBytesPerDay: expect.any(Number), lingerMs: 0, budgetBytes: null },
      mirrors: [],
    });
  });

  test('for people: a table, and no control characters of a device', async () => {
    const { url } = await cli.startAgent();
    await publish(url, [{ topic: 'plant/1', payload: 'x\u001B[31mred\n' }]);
    const { stdout } = await cli.run(['consume', 'telemetry']);
    expect(stdout).toMatch(
      /^\d{4}-\d\d-\d\dT[\d:.]+Z telemetry\/\d@0 plant\/1 x\\u001b\[31mred\\n\n$/u,
    );
    expect((await cli.run(['topics'])).stdout).toMatch(
      /^TOPIC +PARTITIONS +RECORDS +SIZE +DURABILITY +RETENTION\ntelemetry +8 +1 .* fsync +7d, 1\.0 GiB\n$/u,
    );
    const status = await cli.run(['status']);
    expect(status.stdout).toContain(`listens   ${url}\n`);
    expect(status.stdout).toMatch(/^wear +.*measured/mu);
    expect(await cli.run(['mirror', 'status'])).toMatchObject({
      code: 0,
      stdout: 'the agent has no mirrors\n',
    });
  });

  test('by offset, partition, time and limit', async () => {
    const { agent, url } = await cli.startAgent();
    const messages = ['a', 'b', 'c', 'd'].map((payload) => ({ topic: 'one', payload }));
    await publish(url, messages);
    const all = recordsOf((await cli.run(['consume', 'telemetry', '--json'])).stdout);
    const { partition = 0, timestamp = 0 } = all[0] ?? {};
    const values = async (...args: string[]): Promise<unknown[]> => {
      const { stdout } = await cli.run(['consume', 'telemetry', '--json', ...args]);
      return recordsOf(stdout).map(({ value }) => value);
    };
    const check = async (): Promise<void> => {
      expect(await values('--from', '2')).toEqual(['c', 'd']);
      expect(await values('--from', '1', '--limit', '2')).toEqual(['b', 'c']);
      expect(await values('--from', 'end')).toEqual([]);
      expect(await values('--partition', String(partition))).toEqual(['a', 'b', 'c', 'd']);
      expect(await values('--partition', String((partition + 1) % 8))).toEqual([]);
      const begin = new Date(timestamp).toISOString();
      expect(await values('--from', begin)).toEqual(['a', 'b', 'c', 'd']);
      expect(await values('--from', '2099-01-01')).toEqual([]);
    };
    await check();
    await agent.stop();
    await check();
  });

  test('names what there is when it was mistyped', async () => {
    const { agent } = await cli.startAgent();
    const refusal = {
      code: 66,
      stdout: '',
      stderr: 'gatelog: there is no topic "telemetri" (did you mean "telemetry"?)\n',
    };
    expect(await cli.run(['consume', 'telemetri'])).toMatchObject(refusal);
    await agent.stop();
    expect(await cli.run(['consume', 'telemetri'])).toMatchObject(refusal);
  });

  test('--follow prints what comes in, until the reader or the agent goes', async () => {
    const { agent, url } = await cli.startAgent();
    await publish(url, [{ topic: 'a', payload: 'before' }]);
    const args = ['consume', 'telemetry', '--follow', '--json', '--from', 'end'];
    const follower = await cli.start(args);
    const limited = await cli.start([...args.slice(0, -1), 'beginning', '--limit', '2']);
    await limited.waitFor(/"value":"before"/u);
    // From `end` there is no sign that it has begun; so it is asked again and again.
    let count = 0;
    await expect
      .poll(async () => {
        await publish(url, [{ topic: 'a', payload: `after-${count++}` }]);
        return follower.stdout();
      }, PATIENT)
      .toContain('"value":"after-');
    expect(follower.stdout()).not.toContain('before');
    expect(await limited.exited).toEqual({ code: 0, signal: null });
    expect(recordsOf(limited.stdout()).map(({ value }) => value)).toEqual(['before', 'after-0']);
    const interrupted = await cli.start(args);
    await expect
      .poll(async () => {
        await publish(url, [{ topic: 'a', payload: 'more' }]);
        return interrupted.stdout();
      }, PATIENT)
      .toContain('more');
    interrupted.signal('SIGINT');
    expect(await interrupted.exited).toEqual({ code: 0, signal: null });
    await agent.stop();
    expect(await follower.exited).toEqual({ code: 69, signal: null });
    expect(follower.stderr()).toBe('gatelog: the agent stopped while we were reading\n');
  });

  test('a reader that goes away is the end, not an error', async () => {
    const { url } = await cli.startAgent();
    const payload = 'x'.repeat(50_000);
    await publish(
      url,
      Array.from({ length: 40 }, () => ({ topic: 'a', payload })),
    );
    const piped = await cli.shell(
      'consume telemetry --json | head -c 10; echo " ${PIPESTATUS[0]}"',
    );
    expect(piped).toMatchObject({ stdout: '{"topic":" 0\n', stderr: '' });
  });

  test('output that can not be written is one line, and no success', async () => {
    const { url } = await cli.startAgent();
    await publish(url, [{ topic: 'a', payload: 'x' }]);
    for (const command of ['consume telemetry --json', 'topics', 'status --json']) {
      const full = await cli.shell(`${command} > /dev/full`);
      const stderr = expect.stringMatching(
        /^gatelog: the output could not be written: .*ENOSPC.*\n$/u,
      );
      expect(full).toMatchObject({ code: 74, stderr });
    }
  });
});

describe('starting', () => {
  test('a second agent on the folder is refused, and the first goes on', async () => {
    const { agent, url } = await cli.startAgent();
    const second = await cli.run(['run', '--mqtt', 'mqtt://127.0.0.1:0']);
    expect(second.code).toBe(75);
    expect(second.stderr).toMatch(
      /^gatelog: the data folder .*gatelog-data is in use by another /u,
    );
    expect(second.stderr.split('\n')).toHaveLength(2);
    await publish(url, [{ topic: 'a', payload: 'still' }]);
    expect((await cli.run(['status', '--json'])).code).toBe(0);
    expect(agent.ended).toBe(false);
  });

  test('init takes the id of the log that is there', async () => {
    await cli.startAgent(['--gateway', 'press-7']);
    const args = ['init', '--yes', '--no-test', '--data', 'gatelog-data'];
    expect(await cli.run(args)).toMatchObject({ code: 0 });
    expect(readFileSync(path.join(cli.folder, 'gatelog.yaml'), 'utf8')).toContain(
      'gateway: "press-7"\n',
    );
  });

  test('a port in use', async () => {
    const { url } = await cli.startAgent();
    const second = await cli.run(['run', '--data', 'other', '--http', 'off', '--mqtt', url]);
    expect(second).toMatchObject({ code: 75, stdout: '' });
    expect(second.stderr).toMatch(
      new RegExp(`^gatelog: can't listen on ${url}: .*EADDRINUSE.*\\n$`, 'u'),
    );
    // Nothing is left behind: the folder can be used at once.
    await cli.startAgent(['--data', 'other']);
  });

  test.each([
    ['a file in its place', 'taken', 74],
    ['a path through a file', 'taken/data', 74],
    ['a place where nothing can be made', '/proc/gatelog-data', 74],
  ])('a data folder that can not be: %s', async (_, data, code) => {
    writeFileSync(path.join(cli.folder, 'taken'), 'mine');
    const refused = await cli.run(['run', '--data', data, '--mqtt', 'mqtt://127.0.0.1:0']);
    expect(refused).toMatchObject({ code, stdout: '' });
    expect(refused.stderr).toMatch(/^gatelog: .*data.*\n$|^gatelog: .*taken.*\n$/u);
    expect(refused.stderr.trimEnd().split('\n')).toHaveLength(1);
    expect(readFileSync(path.join(cli.folder, 'taken'), 'utf8')).toBe('mine');
  });

  test('a configuration, overruled by flags, with warnings in the log', async () => {
    mkdirSync(path.join(cli.folder, 'etc'));
    writeFileSync(
      path.join(cli.folder, 'etc/gatelog.yaml'),
      'gateway: from-file\ndata: from-file\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n' +
        'topics: {telemetry: {partitions: 2}, unused: {}}\nlog: {level: warn}\n',
    );
    const config = 'etc/gatelog.yaml';
    const agent = await cli.start(['run', '--config', config, '--gateway', 'from-flag']);
    await agent.waitFor(/topics\.unused: no route leads to this topic/u);
    await expect
      .poll(async () => (await cli.run(['status', '--config', config, '--json'])).code, PATIENT)
      .toBe(0);
    const { stdout } = await cli.run(['status', '--config', config, '--json']);
    const status = JSON.parse(stdout) as AgentStatus;
    expect(status.gateway).toBe('from-flag');
    expect(status.data).toBe(path.join(cli.folder, 'etc/from-file'));
    expect(status.topics[0]).toMatchObject({ name: 'telemetry', partitions: [{}, {}] });
    expect(agent.stdout()).not.toContain('"level":"info"');
  });

  test('a mirror that was taken out is told of, until a person lets go of it', async () => {
    const { agent } = await cli.startAgent(['--kafka', '127.0.0.1:1']);
    expect(await cli.run(['mirror', 'forget', 'kafka'])).toMatchObject({
      code: 64,
      stderr:
        'gatelog: mirror "kafka" is configured: take it out of the configuration first, and restart\n',
    });
    await agent.stop();
    const without = await cli.startAgent();
    expect(without.agent.stdout()).toContain('gatelog mirror forget kafka');
    expect(await cli.run(['mirror', 'forget', 'kafak'])).toMatchObject({
      code: 66,
      stderr: 'gatelog: there is no mirror "kafak" to forget (did you mean "kafka"?)\n',
    });
    expect(await cli.run(['mirror', 'forget', 'kafka'])).toMatchObject({
      code: 0,
      stdout: 'mirror kafka: forgotten\n',
    });
    await without.agent.stop();
    const after = await cli.startAgent();
    expect(after.agent.stdout()).not.toContain('mirror.absent');
  });

  test('an upstream that is down delays nothing', async () => {
    const { url } = await cli.startAgent(['--kafka', '127.0.0.1:1']);
    await publish(url, [{ topic: 'a', payload: 'x' }]);
    await expect
      .poll(async () => {
        const { stdout } = await cli.run(['mirror', 'status', 'kafka', '--json']);
        return JSON.parse(stdout) as unknown;
      }, PATIENT)
      .toMatchObject({ name: 'kafka', state: 'backing off', lagRecords: 1 });
  });
});
