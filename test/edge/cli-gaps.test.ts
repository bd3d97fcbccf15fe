import { rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { must } from '../../src/assert.ts';
import { encodeHeaders } from '../../src/headers.ts';
import type { GapJson } from '../../src/loss.ts';
import type { AuditReport } from '../../src/mirror/audit.ts';
import { systemRandom } from '../../src/random.ts';
import type { Store, TopicInfo } from '../../src/store/log.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { append, fill, FOREVER } from '../support/store-kit.ts';

/** `gatelog gaps`, and what `gatelog verify` makes of it. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

const MIRROR = 'central';

function open(name: string, ledgerIdleMs?: number): Promise<Store> {
  const folder = path.join(cli.folder, name);
  const surroundings = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const small = { segmentBytes: 30_000, compression: 'none' } as const;
  const idle = ledgerIdleMs === undefined ? {} : { ledgerIdleMs };
  return openStore({ folder, ...surroundings, ...small, ...idle });
}

interface Edge {
  readonly incarnation: string;
  /** Retention left nothing before it. */
  readonly start: number;
  readonly end: number;
}

/** A mirror had 10 of 1000 records when the byte cap took most of the rest. */
async function makeEdge(): Promise<Edge> {
  const store = await open('gatelog-data');
  const options = { ...FOREVER, partitions: 1, retentionBytes: 60_000 };
  const topic: TopicInfo = store.writer.defineTopic('telemetry', options);
  const [stream] = topic.streams;
  if (stream === undefined) throw new Error('a topic has a partition');
  const positions = await store.positions(`mirror.${MIRROR}`, { pins: true });
  await store.keyValue('agent').put('mirrors', Buffer.from(JSON.stringify([MIRROR])));
  await positions.advance(new Map([[stream, 10]]));
  await fill(store, topic, 1000, { bytes: 200 });
  await store.retain();
  const { startOffset: start, endOffset: end } = store.reader.range(stream);
  expect(start).toBeGreaterThan(500);
  await positions.advance(new Map([[stream, end]]));
  const { incarnation } = store.identity;
  await store.close();
  return { incarnation, start, end };
}

/** What arrived: all but what retention took, and but `missing`. */
async function makeCentre(
  { incarnation, start, end }: Edge,
  missing: number[],
  told: readonly GapJson[] = [],
): Promise<void> {
  const store = await open('centre');
  const { streams } = store.writer.defineTopic('telemetry', { ...FOREVER, partitions: 1 });
  const [stream] = streams;
  if (stream === undefined) throw new Error('a topic has a partition');
  const appended: Promise<number>[] = [];
  for (let offset = 0; offset < end; offset++) {
    if ((offset >= 10 && offset < start) || missing.includes(offset)) continue;
    const identity = Buffer.from(`gw/${incarnation}/telemetry/0/${offset}`);
    const headers = encodeHeaders([{ key: 'gatelog.id', value: identity }]);
    appended.push(append(store, stream, { headers }));
  }
  const [gaps] = store.writer.defineTopic('_gaps', { ...FOREVER, partitions: 1 }).streams;
  for (const [offset, gap] of told.entries()) {
    const identity = Buffer.from(`gw/${incarnation}/_gaps/0/${offset}`);
    const headers = encodeHeaders([{ key: 'gatelog.id', value: identity }]);
    const value = Buffer.from(JSON.stringify(gap));
    const key = Buffer.from(`${gap.topic}/${gap.partition}`);
    appended.push(append(store, must(gaps, 'a topic has a partition'), { headers, key, value }));
  }
  await Promise.all(appended);
  await store.close();
}

const gapsOf = (stdout: string): GapJson[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as GapJson);

describe('the loss ledger', () => {
  test('is shown the same beside a running agent and after it, and filtered', async () => {
    expect((await cli.run(['gaps'])).code).toBe(66);
    const { start, incarnation } = await makeEdge();
    const stopped = await cli.run(['gaps', '--json']);
    expect(stopped).toMatchObject({ code: 0, stderr: '' });
    expect(gapsOf(stopped.stdout)).toEqual([
      expect.objectContaining({
        incarnation,
        topic: 'telemetry',
        partition: 0,
        firstOffset: 10,
        lastOffset: start - 1,
        records: start - 10,
        reason: 'retention',
        mirror: null,
      }),
    ]);
    const { agent } = await cli.startAgent();
    expect((await cli.run(['gaps', '--json'])).stdout).toBe(stopped.stdout);
    const { stdout } = await cli.run(['gaps', '--topic', 'telemetry', '--mirror', MIRROR]);
    expect(stdout).toMatch(
      /^FROM \(UTC\) .*\n.* telemetry\/0 +10 to \d+ +\d+ .*retention: the topic/u,
    );
    expect(stdout).toContain(`\nretention: ${start - 10} records in 1 entry\n`);
    const status = await cli.run(['status']);
    expect(status.stdout).toContain(`${start - 10} retention (records; see gatelog gaps)`);
    await agent.stop();
    for (const filter of [
      ['--topic', 'other'],
      ['--reason', 'corruption'],
      ['--since', '2099-01-01'],
    ]) {
      expect(await cli.run(['gaps', ...filter])).toMatchObject({
        code: 0,
        stdout: 'nothing was lost\n',
      });
    }
  });

  test('is said to be unknown where the state database is gone', async () => {
    await makeEdge();
    rmSync(path.join(cli.folder, 'gatelog-data', 'state'), { recursive: true });
    const told = await cli.run(['gaps']);
    expect(told).toMatchObject({ code: 1, stdout: 'unknown\n' });
    expect(told.stderr).toMatch(
      /^gatelog: what was lost is not known in full, .* \(it is missing\): .* topic _gaps\n$/u,
    );
  });

  test.each([
    ['--since', 'yesterday', 'expected a time (ISO 8601), found "yesterday"'],
    ['--reason', 'corupt', 'found "corupt"'],
  ])('%s %s is refused', async (flag, value, text) => {
    const refused = await cli.run(['gaps', flag, value]);
    expect(refused).toMatchObject({ code: 64, stdout: '' });
    expect(refused.stderr).toContain(text);
  });
});

test('verify takes a gap of the ledger for declared, and any other for an error', async () => {
  const edge = await makeEdge();
  const args = ['verify', '--log', 'centre', '--json', '--data', 'gatelog-data'];
  const verify = async (): Promise<{ code: number | null; report: AuditReport }> => {
    const { code, stdout } = await cli.run([...args, '--gateway', 'gw', '--mirror', MIRROR]);
    return { code, report: JSON.parse(stdout) as AuditReport };
  };
  await makeCentre(edge, []);
  const declaredLost = edge.start - 10;
  expect(await verify()).toMatchObject({
    code: 0,
    report: { clean: true, missing: 0, declaredLost },
  });

  await cli.remove();
  cli = new CliFolder();
  const other = await makeEdge();
  await makeCentre(other, [5, other.start + 1]);
  const { code, report } = await verify();
  expect(code).toBe(1);
  expect(report).toMatchObject({ clean: false, missing: 2, declaredLost: other.start - 10 });
});

describe('verify at the centre alone', () => {
  const verify = async (
    ...args: string[]
  ): Promise<{ code: number | null; report: AuditReport & { notes: string[] } }> => {
    const { code, stdout } = await cli.run(['verify', '--log', 'centre', '--json', ...args]);
    return { code, report: JSON.parse(stdout) as AuditReport & { notes: string[] } };
  };

  async function toldBy(): Promise<GapJson[]> {
    return gapsOf((await cli.run(['gaps', '--json'])).stdout);
  }

  test('takes a gap that _gaps there tells of for declared, and any other for an error', async () => {
    const edge = await makeEdge();
    const lost = edge.start - 10;
    await makeCentre(edge, [5, edge.start + 1], await toldBy());
    const { code, report } = await verify();
    expect(code).toBe(1);
    expect(report).toMatchObject({ clean: false, missing: 2, declaredLost: lost });
    expect(report.notes).toContainEqual(expect.stringContaining('about 2 minutes after the loss'));
    const some = await verify('--topic', 'telemetry');
    expect(some.report).toMatchObject({ missing: 2, declaredLost: lost });
    expect(some.report.sources).toHaveLength(1);
    const own = ['--data', 'gatelog-data', '--gateway', 'gw', '--mirror', MIRROR];
    expect((await verify(...own)).report).toMatchObject({ missing: 2, declaredLost: lost });
    const centre = await cli.start(['run', '--data', 'centre', '--mqtt', 'mqtt://127.0.0.1:0']);
    await centre.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    expect((await verify()).report).toMatchObject({ missing: 2, declaredLost: lost });
  });

  test('without an entry there it is an error', async () => {
    await makeCentre(await makeEdge(), []);
    expect(await verify()).toMatchObject({ code: 1, report: { clean: false, declaredLost: 0 } });
  });

  test('the mirror down, the topic at its cap, the mirror back: declared, by the centre’s word', async () => {
    const LISTENS = /"listeners":\["(mqtt:[^"]+)"/u;
    const centreYaml = (port: string): void =>
      writeFileSync(
        path.join(cli.folder, 'centre.yaml'),
        `data: centre\nmqtt: {listen: ["mqtt://127.0.0.1:${port}"], central: true}\n`,
      );
    centreYaml('0');
    const before = await cli.start(['run', '--config', 'centre.yaml']);
    const [, url = ''] = await before.waitFor(LISTENS);
    centreYaml(new URL(url).port);
    writeFileSync(
      path.join(cli.folder, 'edge.yaml'),
      'gateway: gw\ndata: gatelog-data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n' +
        `topics: {telemetry: {partitions: 1}}\nmirrors: {${MIRROR}: {mqtt: {url: "${url}"}}}\n`,
    );
    const arrivedAll = async (): Promise<void> => {
      const status = ['mirror', 'status', MIRROR, '--config', 'edge.yaml', '--json'];
      await expect
        .poll(async () => JSON.parse((await cli.run(status)).stdout) as unknown, {
          timeout: 30_000,
        })
        .toMatchObject({ state: 'live', lagRecords: 0 });
    };
    const startEdge = async (): Promise<{ stop: () => Promise<unknown> }> => {
      const edge = await cli.start(['run', '--config', 'edge.yaml']);
      const [, device = ''] = await edge.waitFor(LISTENS);
      await publish(device, [{ topic: 'a', payload: 'x' }]);
      return edge;
    };
    const first = await startEdge();
    await arrivedAll();
    await first.stop();
    await before.stop();

    // An agent closes an entry after two minutes; this store does at once.
    const store = await open('gatelog-data', 50);
    const telemetry = must(store.reader.topic('telemetry'), 'it was published to');
    const capped = { ...telemetry.options, retentionBytes: 60_000 };
    const topic = store.writer.defineTopic('telemetry', capped);
    await fill(store, topic, 1000, { bytes: 200 });
    await store.retain();
    await expect.poll(() => store.reader.topic('_gaps'), { timeout: 20_000 }).toBeDefined();
    const { startOffset } = store.reader.range(must(topic.streams[0], 'its partition'));
    expect(startOffset).toBeGreaterThan(500);
    await store.close();

    const centre = await cli.start(['run', '--config', 'centre.yaml']);
    await centre.waitFor(LISTENS);
    await startEdge();
    await arrivedAll();
    const clean = { clean: true, missing: 0, declaredLost: startOffset - 1 };
    expect(await verify()).toMatchObject({ code: 0, report: clean });
    expect(await verify('--config', 'edge.yaml')).toMatchObject({ code: 0, report: clean });
    await centre.stop();
    expect(await verify()).toMatchObject({ code: 0, report: clean });
  });
});
