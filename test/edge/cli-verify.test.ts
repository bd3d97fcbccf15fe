import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { KnownMirrors, positionsName, sampledSpace } from '../../src/agent/known-mirrors.ts';
import { must } from '../../src/assert.ts';
import { readExpectation } from '../../src/cli/verify-expect.ts';
import { encodeHeaders } from '../../src/headers.ts';
import type { AuditReport } from '../../src/mirror/audit.ts';
import { SampledBook } from '../../src/mirror/sampled-book.ts';
import { systemRandom } from '../../src/random.ts';
import type { Store, TopicOptions } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { PLAIN_CONTEXT } from '../support/cli-context.ts';
import { CliFolder, publish } from '../support/cli.ts';

/** `gatelog verify` on the data folder of a central agent: what it must find, it finds. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const TOPIC: TopicOptions = {
  partitions: 2,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
};
const INCARNATION = '0123456789abcdef';

function open(name: string): Promise<Store> {
  const folder = path.join(cli.folder, name);
  const surroundings = { clock: systemClock, random: systemRandom, logger: silentLogger };
  return openStore({ folder, ...surroundings });
}

/** A central log of records with these identities: [source offset, central partition]. */
async function makeCentre(records: readonly (readonly [number, number])[]): Promise<void> {
  const store = await open('centre');
  const { streams } = store.writer.defineTopic('telemetry', TOPIC);
  for (const [offset, partition] of records) {
    const identity = Buffer.from(`edge/${INCARNATION}/telemetry/0/${offset}`);
    const headers = encodeHeaders([{ key: 'gatelog.id', value: identity }]);
    const stream = must(streams[partition], 'the topic has it');
    await new Promise<void>((resolve, reject) => {
      const key = Buffer.from(`key-${partition}`);
      store.writer.append(stream, 0, key, Buffer.from('x'), headers, 'fsync', (error) => {
        if (error === null) resolve();
        else reject(error);
      });
    });
  }
  await store.close();
}

async function verify(...args: string[]): Promise<{ code: number | null; report: AuditReport }> {
  const { code, stdout, stderr } = await cli.run(['verify', '--log', 'centre', '--json', ...args]);
  expect(stderr).toBe('');
  return { code, report: JSON.parse(stdout) as AuditReport };
}

describe('a central log', () => {
  test('each once and in order is clean, whatever the partitions', async () => {
    await makeCentre([
      [0, 0],
      [1, 1],
      [2, 0],
    ]);
    expect(await verify()).toMatchObject({ code: 0, report: { clean: true, records: 3 } });
    const text = await cli.run(['verify', '--log', 'centre']);
    expect(text.stdout).toMatch(/^central: clean: 3 records, each once and in order\n/u);
  });

  test.each([
    ['a gap', [0, 2], { missing: 1, repeats: 0, disorder: 0 }],
    ['a repeat', [0, 1, 1], { missing: 0, repeats: 1, disorder: 0 }],
    ['disorder', [1, 0, 2], { missing: 0, repeats: 0, disorder: 1 }],
  ])('%s is found: exit code 1', async (_, offsets, findings) => {
    await makeCentre(offsets.map((offset) => [offset, 0]));
    expect(await verify()).toMatchObject({ code: 1, report: { clean: false, ...findings } });
    const text = await cli.run(['verify', '--log', 'centre']);
    expect(text).toMatchObject({ code: 1, stderr: '' });
    expect(text.stdout).toMatch(/^central: NOT clean: /u);
  });

  test('only the topics asked for', async () => {
    await makeCentre([
      [0, 0],
      [2, 0],
    ]);
    const { code, stderr } = await cli.run(['verify', '--log', 'centre', '--topic', 'other']);
    expect(code).toBe(0);
    expect(stderr).toBe(
      'gatelog: warning: central: no record there carries an identity: nothing to judge\n',
    );
  });

  test('that is not there is refused', async () => {
    const absent = path.join(cli.folder, 'centre');
    expect(await cli.run(['verify', '--log', absent])).toMatchObject({
      code: 66,
      stdout: '',
      stderr: `gatelog: there is no data folder ${absent}; name it with --data DIR or --config FILE\n`,
    });
  });
});

describe('with the gateway’s own word', () => {
  test('a tail that never arrived is found, running or stopped', async () => {
    writeFileSync(
      path.join(cli.folder, 'centre.yaml'),
      'data: centre\nmqtt: {listen: ["mqtt://127.0.0.1:0"], central: true}\n',
    );
    const centre = await cli.start(['run', '--config', 'centre.yaml']);
    const [, url = ''] = await centre.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    writeFileSync(
      path.join(cli.folder, 'edge.yaml'),
      'gateway: edge\ndata: edge\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n' +
        `mirrors: {up: {mqtt: {url: "${url}"}}}\n`,
    );
    const edge = await cli.start(['run', '--config', 'edge.yaml']);
    const [, device = ''] = await edge.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    await publish(
      device,
      ['1', '2', '3'].map((payload) => ({ topic: 'one', payload })),
    );
    const status = ['mirror', 'status', 'up', '--config', 'edge.yaml', '--json'];
    await expect
      .poll(async () => JSON.parse((await cli.run(status)).stdout) as unknown, { timeout: 30_000 })
      .toMatchObject({ lagRecords: 0, recordsSent: 3 });
    expect(await verify('--config', 'edge.yaml')).toMatchObject({
      code: 0,
      report: { records: 3 },
    });
    await centre.stop();

    const clean = { code: 0, report: { clean: true, records: 3, missing: 0 } };
    expect(await verify('--config', 'edge.yaml')).toMatchObject(clean);
    // A centre that lost everything: without the gateway's word nobody could tell.
    await (await open('empty')).close();
    const empty = ['verify', '--log', 'empty', '--json'];
    expect(await cli.run(empty)).toMatchObject({ code: 0 });
    const told = await cli.run([...empty, '--config', 'edge.yaml']);
    expect(told.code).toBe(1);
    expect(JSON.parse(told.stdout)).toMatchObject({ clean: false, missing: 3 });

    await edge.stop();
    expect(await verify('--config', 'edge.yaml')).toMatchObject(clean);
    const stopped = await cli.run([...empty, '--config', 'edge.yaml']);
    expect(stopped.code).toBe(1);
    expect(JSON.parse(stopped.stdout)).toMatchObject({ clean: false, missing: 3 });
    expect(await cli.run(['verify', '--config', 'edge.yaml'])).toMatchObject({
      code: 64,
      stderr:
        'gatelog: mirror "up" sends to an MQTT broker, which keeps no log to read; if that is a gatelog agent, name its data folder with --log\n',
    });
  });
});

describe('a Kafka cluster', () => {
  test('that can not be reached is said, with exit code 69', async () => {
    const refused = await cli.run(['verify', '--kafka', '127.0.0.1:1', '--topic', 't']);
    expect(refused).toMatchObject({ code: 69, stdout: '' });
    expect(refused.stderr).toMatch(/^gatelog: Can't reach Kafka at 127\.0\.0\.1:1: .*\n$/u);
  });
});

test('of a stopped gateway what went as a sample does not wait', async () => {
  const store = await open('edge');
  await KnownMirrors.load(store, ['up']);
  const { streams } = store.writer.defineTopic('telemetry', { ...TOPIC, partitions: 1 });
  const stream = must(streams[0], 'it has one');
  await new Promise<void>((resolve) => {
    for (let at = 0; at < 6; at++) {
      const done = at === 5 ? () => resolve() : () => {};
      const none = new Uint8Array(0);
      store.writer.append(stream, 0, Buffer.from('k'), Buffer.from('x'), none, 'fsync', done);
    }
  });
  const book = await SampledBook.load(store.keyValue(sampledSpace('up')));
  const sample = { stream, from: 0, to: 4, kept: [1, 3], left: [], leftBytes: 0 };
  await book.note([{ ...sample, rest: 'later' }]);
  const positions = await store.positions(positionsName('up'), { pins: true });
  await positions.advance(new Map([[stream, { next: 0, ahead: [], sampledTo: 4 }]]));
  await store.close();
  const { waiting, ranges } = await readExpectation(PLAIN_CONTEXT, {
    folder: path.join(cli.folder, 'edge'),
    gateway: 'edge',
    mirror: 'up',
    patterns: ['telemetry'],
    start: 'beginning',
  });
  expect(waiting).toBe(4);
  expect(ranges).toMatchObject([{ topic: 'telemetry', from: 0, to: 0 }]);
});
