import { randomBytes } from 'node:crypto';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { Writable } from 'node:stream';
import { alterPartitionReassignmentsV0, Connection, metadataV12 } from '@platformatic/kafka';
import { connectAsync } from 'mqtt';
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from 'vitest';
import { must } from '../../src/assert.ts';
import type { CliContext } from '../../src/cli/context.ts';
import { verify } from '../../src/cli/verify.ts';
import type { AuditReport } from '../../src/mirror/audit.ts';
import { CommittedReader } from '../../src/mirror/kafka/consume.ts';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { systemRandom } from '../../src/random.ts';
import { type Clock, systemClock } from '../../src/time.ts';
import { CliFolder } from '../support/cli.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import { startProcess } from '../support/process.ts';
import { failureOf, freshName, gatewayFor, grantLeast, newGateway } from './kafka-rig.ts';

/** `gatelog verify` beside what goes on in a cluster: agents, hanging transactions, moving leaders. */
const shared = KafkaOfFile.open();
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

type Report = AuditReport & { readonly notes: readonly string[] };

describe('beside a running agent under load', () => {
  const LOAD = path.join(import.meta.dirname, '../support/mqtt-load.ts');
  /** More than it takes: the load is stopped when enough was verified beside it. */
  const SECONDS = 150;
  const ROUNDS = 1;

  /** Eight partitions into twelve; `camera` refuses large records. */
  async function startEdge(gateway: string): Promise<string> {
    const configs = { 'max.message.bytes': '20000' };
    await shared.cluster.createTopic(`${gateway}.camera`, { partitions: 12, configs });
    writeFileSync(
      path.join(cli.folder, 'gatelog.yaml'),
      `gateway: ${gateway}\ndata: data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
        'topics: {telemetry: {partitions: 8}, camera: {partitions: 8}}\n' +
        'routes: [{match: "cam/#", topic: camera}, {match: "#", topic: telemetry}]\n' +
        `mirrors: {central: {kafka: {brokers: ${JSON.stringify(shared.cluster.bootstrap('plaintext'))},` +
        ` topic: "{gateway}.{topic}", positionsTopic: ${gateway}.positions,` +
        ' create: {partitions: 12, replicationFactor: 3}}}}\n',
    );
    const agent = await cli.start(['run', '--config', 'gatelog.yaml']);
    const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
    return url;
  }

  /** Small pictures, and now and then one that goes to quarantine. */
  async function publishPictures(url: string, signal: AbortSignal): Promise<void> {
    const client = await connectAsync(url);
    for (let index = 0; !signal.aborted; index++) {
      const payload = randomBytes(index % 5 === 0 ? 30_000 : 200);
      await client.publishAsync(`cam/${index % 17}`, payload, { qos: 1 });
    }
    await client.endAsync();
  }

  test('it is always clean, with the word of the gateway and without', async () => {
    const gateway = freshName('live');
    const url = await startEdge(gateway);
    const rate = ['--rate', '2000', '--seconds', String(SECONDS)];
    const load = await startProcess({
      command: process.execPath,
      args: [LOAD, '--port', new URL(url).port, ...rate],
    });
    const over = new AbortController();
    const pictures = publishPictures(url, over.signal);
    const brokers = shared.cluster.bootstrap('plaintext').join(',');
    const ways = [
      ['--config', 'gatelog.yaml'],
      ['--kafka', brokers, '--topic', `${gateway}.telemetry`],
    ];
    const status = ['mirror', 'status', 'central', '--config', 'gatelog.yaml', '--json'];
    const sent = async (): Promise<number> => {
      const { recordsSent } = JSON.parse((await cli.run(status)).stdout) as MirrorStatus;
      return recordsSent;
    };
    await expect.poll(sent, { timeout: 30_000 }).toBeGreaterThan(1000);
    const verdicts: unknown[] = [];
    let declared = 0;
    for (let round = 0; round < ROUNDS; round++) {
      for (const way of ways) {
        const { code, stdout, stderr } = await cli.run(['verify', ...way, '--json']);
        const { sources, ...totals } = JSON.parse(stdout) as Report;
        declared = Math.max(declared, totals.declaredLost);
        const gaps = sources.flatMap((source) => source.gaps.map((gap) => gap.declared));
        verdicts.push({ way: way[0], code, stderr, ...totals, gaps: gaps.slice(0, 10) });
      }
    }
    expect(load.ended).toBe(false);
    await load.stop();
    over.abort();
    await pictures;
    const clean = { code: 0, stderr: '', clean: true, missing: 0, repeats: 0, disorder: 0 };
    expect(verdicts).toHaveLength(ROUNDS * ways.length);
    expect(verdicts).toEqual(verdicts.map(() => expect.objectContaining(clean)));
    expect(declared).toBeGreaterThan(0);
  });
});

describe('what can not be read', () => {
  /** A clock on which a minute is over in seconds. */
  const quick: Clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() * 20 };

  /** In this process, so that waiting takes no real minute. */
  async function verified(args: {
    readonly kafka: string;
    readonly topic: readonly string[];
    readonly json: boolean;
  }): Promise<{ readonly code: number; readonly stdout: string }> {
    let stdout = '';
    const sink = new Writable({
      write: (chunk: Buffer, _encoding, done) => {
        stdout += chunk.toString('utf8');
        done();
      },
    });
    const context: CliContext = {
      stdout: sink,
      stderr: sink,
      env: {},
      workingFolder: cli.folder,
      clock: quick,
      random: systemRandom,
      version: '0',
      exitCode: 0,
    };
    await verify(context, args);
    return { code: context.exitCode, stdout };
  }

  test('a hanging transaction of another producer is said, and is not clean', async () => {
    const gateway = await newGateway(shared.cluster, { partitions: 2 });
    gateway.fill(100);
    await gateway.mirror();
    const before = new Map(gateway.positions);
    const other = gatewayFor(shared.cluster, gateway.topic, {
      partitions: 2,
      listener: 'proxied',
      upstream: { transactionTimeoutMs: 600_000 },
    });
    await grantLeast(shared.cluster, other);
    other.fill(20);
    const link = await openKafkaLink(shared.cluster);
    try {
      const session = await other.connectSoon();
      const cut = link.cut('EndTxn', { where: 'request', how: 'reset' });
      const failure = await failureOf(session.send(other.next(new Map(), 60)));
      expect(failure).toMatchObject({ code: 'UPSTREAM_UNCERTAIN' });
      await cut.done;
      await session.close();
    } finally {
      await link.close();
    }
    gateway.fill(100);
    await gateway.mirror();
    const kafka = shared.cluster.bootstrap('plaintext').join(',');
    const topic = [gateway.topic];

    const { code, stdout } = await verified({ kafka, topic, json: true });
    const report = JSON.parse(stdout) as Report;
    expect(report.records).toBe([...before.values()].reduce((sum, one) => sum + one, 0));
    expect(report).toMatchObject({ clean: false, missing: 0, repeats: 0, disorder: 0 });
    const reason = expect.stringContaining('neither committed nor aborted within 1m');
    expect(report.unread).toEqual(
      [0, 1].map((partition) => {
        const from = expect.any(Number);
        return { topic: gateway.topic, partition, from, to: expect.any(Number), reason };
      }),
    );
    expect(code).toBe(1);
    const text = await verified({ kafka, topic, json: false });
    expect(text.code).toBe(1);
    expect(text.stdout).toContain(', 2 partitions not read to the end\n');
    expect(text.stdout).toMatch(/^\S+\/1: not read from \d+ to \d+: a transaction that /mu);

    const settler = other.reborn({ brokers: shared.cluster.bootstrap('sasl') });
    await (await settler.connect()).close();
    await expect
      .poll(() => verified({ kafka, topic, json: true }).then(({ code: now }) => now))
      .toBe(0);
  });

  /** Where the one replica of the partition is. */
  async function withController<T>(ask: (connection: Connection) => Promise<T>): Promise<T> {
    const connection = new Connection('gatelog-test');
    await connection.connect('127.0.0.1', must(shared.cluster.nodes[0], 'a node').ports.plaintext);
    try {
      return await ask(connection);
    } finally {
      await connection.close();
    }
  }

  async function leaderOf(topic: string): Promise<number> {
    const answer = await withController((connection) =>
      metadataV12.api.async(connection, [topic], false, false),
    );
    return must(answer.topics[0]?.partitions[0], 'the partition').leaderId;
  }

  async function readWhile(topic: string, meanwhile: () => Promise<void>): Promise<string[]> {
    const brokers = shared.cluster.bootstrap('plaintext');
    const reader = new CommittedReader({ brokers, topics: [topic], clock: systemClock });
    const read: string[] = [];
    let pieces = 0;
    try {
      for await (const records of reader.pass()) {
        read.push(...records.map(({ identity }) => identity ?? ''));
        if (pieces++ === 0) await meanwhile();
      }
      expect(pieces).toBeGreaterThan(1);
      expect(reader.unread).toEqual([]);
      return read;
    } finally {
      reader.close();
    }
  }

  test('a partition that moves to another broker is read on there', async () => {
    const gateway = gatewayFor(shared.cluster, freshName('moved'), {
      partitions: 1,
      upstream: { compression: 'none' },
    });
    await shared.cluster.createTopic(gateway.topic, { partitions: 1, replicas: 1 });
    // One replica does not come back by itself when its broker is killed later.
    onTestFinished(() => shared.cluster.deleteTopic(gateway.topic));
    await grantLeast(shared.cluster, gateway);
    gateway.fill(3000, 1000);
    await gateway.mirror(500);
    const read = await readWhile(gateway.topic, async () => {
      const from = await leaderOf(gateway.topic);
      const to = must(
        shared.cluster.nodes.find(({ id }) => id !== from),
        'another node',
      ).id;
      const partitions = [{ partitionIndex: 0, replicas: [to] }];
      await withController((connection) =>
        alterPartitionReassignmentsV0.api.async(connection, 10_000, true, [
          { name: gateway.topic, partitions },
        ]),
      );
      await expect.poll(() => leaderOf(gateway.topic)).toBe(to);
    });
    expect(read).toEqual(gateway.identities());
  });

  test('a partition whose leader dies is read on at the next one', async () => {
    const upstream = { compression: 'none' } as const;
    const gateway = await newGateway(shared.cluster, { partitions: 1, upstream });
    gateway.fill(3000, 1000);
    await gateway.mirror(500);
    try {
      const read = await readWhile(gateway.topic, async () =>
        shared.cluster.kill(await leaderOf(gateway.topic)),
      );
      expect(read).toEqual(gateway.identities());
    } finally {
      await shared.cluster.restore([gateway.topic]);
    }
  });
});
