import { expect, test } from 'vitest';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { Gateway } from '../support/hunt/gateway.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { kcatConsume } from '../support/kafka/tools.ts';

const kafka = KafkaOfFile.open();
const SAMPLE = '{ keep: last per key per 1s, rest: later }';
const ROUNDS = 8;
const DEVICES = 5;
const LINES = 60;

test('a sample goes to Kafka over a metered link, the rest over another; kills and cuts in between', async () => {
  const link = await openKafkaLink(kafka.cluster);
  try {
    await inWorkFolder('sampling', async (folder) => {
      const gateway = await Gateway.make({
        folder,
        name: `sampling-${process.pid}`,
        cluster: kafka.cluster,
        listener: 'proxied',
        sample: SAMPLE,
      });
      await gateway.grant(kafka.cluster);
      try {
        for (let round = 0; round < ROUNDS; round++) {
          await gateway.start();
          await gateway.ready();
          for (let device = 0; device < DEVICES; device++) {
            const lines = Array.from({ length: LINES }, (_, line) => `${round} ${line}`);
            await gateway.publish(`plant/${device}`, lines);
            if (round % 3 === 1) link.resetAll();
          }
          const wanted = round === ROUNDS - 1 ? DEVICES * LINES : 1;
          await gateway.mirrorIs(
            ({ recordsSampled }) => recordsSampled >= wanted - 4 * DEVICES,
            60_000,
          );
          await gateway.agent.kill();
        }
        const sent = await kcatConsume(kafka.cluster, gateway.centralTopic('telemetry'));
        // At least one each; those of the last window may not have gone before the kill.
        expect(sent.length).toBeGreaterThanOrEqual((ROUNDS - 1) * DEVICES);
        expect(sent.length).toBeLessThan((ROUNDS * DEVICES * LINES) / 2);
        gateway.leaveMeteredWay();
        await gateway.start();
        await gateway.mirrored(120_000);
        await gateway.agent.stop();
        const arrived = await kcatConsume(kafka.cluster, gateway.centralTopic('telemetry'));
        expect(arrived.length).toBe(ROUNDS * DEVICES * LINES);
        expect(new Set(arrived.map(({ key, value }) => `${key} ${value}`)).size).toBe(
          arrived.length,
        );
        const brokers = kafka.cluster.bootstrap('plaintext').join(',');
        const topics = ['--topic', gateway.centralTopic('telemetry'), '--unordered', 'telemetry'];
        const audit = await runGatelog(['verify', '--kafka', brokers, ...topics, '--json'], 60_000);
        expect(JSON.parse(audit.stdout)).toMatchObject({ clean: true, repeats: 0, missing: 0 });
      } finally {
        await gateway.end();
      }
    });
  } finally {
    await link.close();
  }
}, 600_000);
