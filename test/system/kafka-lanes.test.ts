import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { Gateway } from '../support/hunt/gateway.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { type KafkaLink, openKafkaLink } from '../support/kafka/link.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { kcatConsume } from '../support/kafka/tools.ts';

/** Classes and drain orders on a link that has a backlog to carry, with the built agent. */
const kafka = KafkaOfFile.open();
let link: KafkaLink;

beforeAll(async () => {
  link = await openKafkaLink(kafka.cluster);
}, 420_000);

afterAll(async () => {
  await link.close();
});

const BACKLOG = 6000;
const KIB = 1024;

function lines(prefix: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${prefix} ${index} ${'.'.repeat(200)}`);
}

test('alarms pass a backlog that goes newest first; the audit knows the order', async () => {
  await inWorkFolder('lanes', async (folder) => {
    const gateway = await Gateway.make({
      folder,
      name: `lanes-${process.pid}`,
      cluster: kafka.cluster,
      listener: 'proxied',
      compression: 'none',
      drain: 'newest-first',
      batchRecords: 200,
    });
    await gateway.grant(kafka.cluster);
    await gateway.start();
    try {
      await gateway.ready();
      await gateway.publish('plant/a', lines('first', 1));
      await gateway.publish('alarms/door', lines('first', 1));
      await gateway.mirrored(60_000);
      await link.setMode('refuse');
      link.resetAll();
      await gateway.publish('plant/a', lines('reading', BACKLOG));
      link.setShape({ bytesPerSecond: 192 * KIB });
      await link.setMode('open');
      const lagOf = (topics: Awaited<ReturnType<typeof gateway.mirror>>['topics'], name: string) =>
        topics.find(({ topic }) => topic === name)?.lagRecords ?? -1;
      await gateway.mirrorIs(({ topics }) => lagOf(topics, 'telemetry') < BACKLOG, 60_000);
      await gateway.publish('alarms/door', lines('alarm', 50));
      const passed = await gateway.mirrorIs(({ topics }) => lagOf(topics, 'alarms') === 0, 60_000);
      expect(lagOf(passed.topics, 'telemetry')).toBeGreaterThan(BACKLOG / 4);
      const telemetry = passed.topics.find(({ topic }) => topic === 'telemetry');
      expect(telemetry).toMatchObject({ class: 'normal', drain: 'newest-first' });
      expect(telemetry?.etaMs).toBeGreaterThan(0);
      const ahead = telemetry?.partitions.map(({ recordsAhead }) => recordsAhead) ?? [];
      expect(Math.max(...ahead)).toBeGreaterThan(0);
      // Killed in the middle of it: nothing is sent twice, and the hole is filled.
      await gateway.agent.kill();
      await gateway.start();
      link.setShape({});
      await gateway.mirrored(60_000);
      await gateway.agent.stop();

      const arrived = await kcatConsume(kafka.cluster, gateway.centralTopic('telemetry'));
      const numbers = arrived.slice(1).map(({ value }) => Number(value?.split(' ')[1]));
      expect(numbers.toSorted((one, other) => one - other)).toEqual(
        Array.from({ length: BACKLOG }, (_, index) => index),
      );
      expect(numbers.indexOf(BACKLOG - 1)).toBeLessThan(numbers.indexOf(0));
      const alarms = await kcatConsume(kafka.cluster, gateway.centralTopic('alarms'));
      expect(alarms.map(({ value }) => value?.slice(0, 8))).toEqual(
        ['first 0 ', ...lines('alarm', 50)].map((line) => line.slice(0, 8)),
      );
      await expectAudit(gateway, folder);
    } finally {
      link.setShape({});
      await link.setMode('open');
      await gateway.end();
    }
  });
}, 240_000);

/** By the gateway's own configuration, and by what a person at the centre says. */
async function expectAudit(gateway: Gateway, folder: string): Promise<void> {
  const brokers = kafka.cluster.bootstrap('plaintext').join(',');
  const topics = gateway.centralTopics().flatMap((topic) => ['--topic', topic]);
  const named = await runGatelog(
    ['verify', '--kafka', brokers, ...topics, '--unordered', 'telemetry', '--json'],
    60_000,
  );
  expect(named.code).toBe(0);
  const report = JSON.parse(named.stdout) as Record<string, unknown>;
  expect(report).toMatchObject({ clean: true, records: BACKLOG + 52, repeats: 0, disorder: 0 });
  expect(report['reordered']).toBeGreaterThan(0);
  const strict = await runGatelog(['verify', '--kafka', brokers, ...topics], 60_000);
  expect(strict.code).toBe(1);
  expect(strict.stdout).toContain('out of order');
  // The configuration says it, too; read from outside the shaped way.
  const config = join(folder, 'centre.yaml');
  const rules = '[{ match: telemetry, drain: newest-first }, "*"]';
  writeFileSync(
    config,
    `gateway: ${gateway.name}\nmirrors:\n  central:\n    topics: ${rules}\n    kafka:\n      topic: "{gateway}.{topic}"\n      brokers: [${brokers}]\n`,
  );
  const configured = await runGatelog(['verify', '--config', config, ...topics], 60_000);
  expect(configured.stdout).toContain('each once and in order, but for');
  expect(configured.code).toBe(0);
}
