import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { Gateway } from '../support/hunt/gateway.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { kcatConsume } from '../support/kafka/tools.ts';
import { NetNamespace } from '../support/network/namespace.ts';
import { WayToKafka } from '../support/network/way-to-kafka.ts';

/**
 * A real agent in a network of its own, a real Kafka outside, and between them a kernel that drops
 * packets: what the agent shows, that devices are served, and that everything is in Kafka once
 * afterwards. (Which failure of a link is tested where: docs/link-trouble.md.)
 */
const kafka = KafkaOfFile.open();
const WITHIN_MS = 120_000;

describe('across network namespaces', () => {
  let net: NetNamespace;
  let way: WayToKafka;
  let gateway: Gateway;
  let sent = 0;
  let folder: string;

  beforeAll(async () => {
    net = await NetNamespace.make();
    way = await WayToKafka.open(net, kafka.cluster);
    folder = mkdtempSync(join(tmpdir(), 'gatelog-black-holes-'));
    gateway = await Gateway.make({
      folder,
      name: `holes-${process.pid}`,
      cluster: kafka.cluster,
      listener: 'proxied',
      impatient: true,
      enter: (spec) => net.inside(spec),
    });
    await gateway.grant(kafka.cluster);
  });

  afterAll(async () => {
    await gateway.end();
    await way.close();
    await net.remove();
    rmSync(folder, { recursive: true, force: true });
  });

  /** As a device does; resolves with the PUBACKs. */
  async function publish(records: number): Promise<void> {
    await gateway.publish(
      'plant/a',
      Array.from({ length: records }, () => `n${sent++} ${'.'.repeat(100)}`),
    );
  }

  /** What is shown once no session stands any more. */
  async function troubleShown(): Promise<string> {
    const { state, reason } = await gateway.mirrorIs(
      (status) => status.state === 'backing off' && status.reason !== undefined,
      WITHIN_MS,
    );
    return `${state}: ${reason}`;
  }

  /** Everything goes up when the way is there again. */
  async function recovers(): Promise<void> {
    await way.heal();
    await gateway.mirrored(WITHIN_MS);
  }

  test('started behind a black hole: devices are served, and what they sent goes up when it is over', async () => {
    await way.swallow('all');
    await gateway.start();
    await gateway.ready();
    await publish(200);
    expect(await troubleShown()).toMatch(
      /no answer from 127\.0\.0\.1 within 2s, not even a refusal: a firewall or a dead link/u,
    );
    await recovers();
  });

  // One direction alone is the same to us; the hunts' way of asking for more than the usual.
  const ways = ['all', 'requests', 'answers'] as const;
  test.each(process.env['GATELOG_CUTS'] === 'all' ? ways : (['all'] as const))(
    'packets vanish under way (%s): found by the missing answer, not shown as live',
    async (what) => {
      await publish(50);
      await gateway.mirrored(WITHIN_MS);
      await way.swallow(what);
      await publish(200);
      expect(await troubleShown()).toMatch(
        /the link swallows what is sent|a firewall or a dead link swallows the packets/u,
      );
      await recovers();
    },
  );

  test('half-open: a NAT forgot the connections, new ones pass', async () => {
    await publish(10);
    await gateway.mirrored(WITHIN_MS);
    const { reconnects } = await gateway.mirror();
    expect(await way.forgetConnections()).toBeGreaterThan(0);
    await publish(200);
    await gateway.mirrorIs((status) => status.reconnects > reconnects, WITHIN_MS);
    await gateway.mirrored(WITHIN_MS);
    await way.heal();
  });

  test('and after all of it every record is in Kafka once', async () => {
    const topic = gateway.centralTopic('telemetry');
    const texts = (await kcatConsume(kafka.cluster, topic)).map(({ value }) => value ?? '');
    const numbers = texts.map((text) => Number(/^n(\d+) /u.exec(text)?.[1]));
    expect(numbers).toEqual(Array.from({ length: sent }, (_, index) => index));
    const brokers = kafka.cluster.bootstrap('plaintext').join(',');
    const audit = await runGatelog(['verify', '--kafka', brokers, '--topic', topic]);
    expect(audit).toMatchObject({ code: 0, stderr: '' });
  });
});
