import { Admin, ProduceAcks, Producer } from '@platformatic/kafka';
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { API } from '../support/kafka/frames.ts';
import { type KafkaCluster, startKafkaCluster } from '../support/kafka/cluster.ts';
import { openKafkaLink } from '../support/kafka/link.ts';
import { kcat, kcatConsume } from '../support/kafka/tools.ts';

/** The tests' own Kafka is what its tests rely on: logins, rights, faults, outside tools. */
const TOPIC = 'cluster-check';
const CLOSED_TOPIC = 'cluster-check-closed';
let cluster: KafkaCluster;

beforeAll(async () => {
  cluster = await startKafkaCluster();
  await cluster.createTopic(TOPIC, { partitions: 2 });
  await cluster.createTopic(CLOSED_TOPIC, { partitions: 1 });
  await cluster.grant('gw', [
    { resource: 'topic', name: TOPIC, operations: ['WRITE', 'READ', 'DESCRIBE'] },
  ]);
});

afterAll(async () => {
  await cluster?.close();
});

function produce(listener: 'sasl' | 'saslSsl' | 'ssl', key: string): Promise<unknown> {
  const args = ['-P', '-t', TOPIC, '-K', '|', '-H', 'tag=one', '-H', 'tag=two'];
  return kcat(cluster, args, `${key}|value of ${key}\n`, listener);
}

/** The codes of an error of the client, and of those behind it. */
function causes(error: unknown): string[] {
  if (!(error instanceof Error)) return [];
  const { code, errors = [] } = error as Error & { code?: string; errors?: unknown[] };
  return [code ?? '', ...[...errors, error.cause].flatMap(causes)];
}

describe('logins and rights', () => {
  it('lets kcat in on every listener', async () => {
    await produce('sasl', 'sasl');
    await produce('saslSsl', 'saslSsl');
    await produce('ssl', 'ssl');
    const tags = [
      ['tag', 'one'],
      ['tag', 'two'],
    ];
    const expected = ['sasl', 'saslSsl', 'ssl'].map((key) => ({
      key,
      value: `value of ${key}`,
      headers: tags,
    }));
    const byKey = (records: Awaited<ReturnType<typeof kcatConsume>>): unknown[] =>
      records
        .map(({ key, value, headers }) => ({ key, value, headers }))
        .toSorted((one, other) => String(one.key).localeCompare(String(other.key)));
    expect(byKey(await kcatConsume(cluster, TOPIC))).toEqual(expected);
  });

  it.each(['SCRAM-SHA-256', 'SCRAM-SHA-512', 'PLAIN'] as const)('knows %s', async (mechanism) => {
    const { ca } = cluster.state.certificates;
    const login = { mechanism, username: 'gw', password: cluster.state.users.gw.password };
    const open = (password: string): Admin =>
      new Admin({
        clientId: 'check',
        bootstrapBrokers: cluster.bootstrap('saslSsl'),
        sasl: { ...login, password },
        tls: { ca: readFileSync(ca) },
        retries: 0,
      });
    const admin = open(login.password);
    const wrong = open('guess');
    try {
      // Not all topics: others' may be without a leader, and then the client gives none.
      const { topics } = await admin.metadata({ topics: [TOPIC] });
      expect(topics.get(TOPIC)?.partitionsCount).toBe(2);
      const refused = await wrong.metadata({ topics: [TOPIC] }).catch((error: unknown) => error);
      expect(causes(refused)).toContain('PLT_KFK_AUTHENTICATION');
    } finally {
      await admin.close();
      await wrong.close();
    }
  });

  it('refuses who has no rights, and certificates of a stranger', async () => {
    const args = ['-P', '-t', TOPIC, '-X', 'message.timeout.ms=5000'];
    await expect(kcat(cluster, args, 'x\n', 'sasl', { user: 'nobody' })).rejects.toThrow(
      'Topic authorization failed',
    );
    await expect(kcat(cluster, ['-P', '-t', CLOSED_TOPIC], 'x\n', 'sasl')).rejects.toThrow(
      'Topic authorization failed',
    );
    const { strangerCertificate, strangerKey } = cluster.state.certificates;
    const stranger = [
      `ssl.certificate.location=${strangerCertificate}`,
      `ssl.key.location=${strangerKey}`,
    ];
    await expect(
      kcat(cluster, [...stranger.flatMap((line) => ['-X', line]), '-L', '-m', '5'], '', 'ssl'),
    ).rejects.toThrow(/SSL|ssl/);
  });
});

describe('faults', () => {
  it('goes on with one node killed, and is whole again after its start', async () => {
    await cluster.kill(2);
    expect((await cluster.pids())['2']).toBeNull();
    await kcat(cluster, ['-P', '-t', TOPIC, '-X', 'acks=all'], 'while 2 is down\n');
    await cluster.restore([TOPIC]);
    expect((await cluster.pids())['2']).not.toBeNull();
  });

  it('keeps silent while a node is stopped, and goes on after', async () => {
    await cluster.stop(3);
    const admin = new Admin({
      clientId: 'check',
      bootstrapBrokers: [`127.0.0.1:${cluster.node(3).ports.plaintext}`],
      retries: 0,
      connectTimeout: 500,
      requestTimeout: 500,
    });
    try {
      await expect(admin.listTopics()).rejects.toThrow(/fail/i);
    } finally {
      await admin.close();
      await cluster.restore([TOPIC]);
    }
  });

  it('the link cuts between a Produce and its answer: the record is there, the client does not know', async () => {
    const link = await openKafkaLink(cluster);
    const { gw } = cluster.state.users;
    const producer = new Producer({
      clientId: 'check',
      bootstrapBrokers: cluster.bootstrap('proxied'),
      sasl: { mechanism: 'SCRAM-SHA-512', username: gw.name, password: gw.password },
      retries: 0,
    });
    try {
      const cut = link.cut('Produce', { where: 'response', how: 'reset' });
      const sent = producer.send({
        acks: ProduceAcks.ALL,
        messages: [{ topic: TOPIC, value: Buffer.from('unanswered') }],
      });
      await expect(sent).rejects.toThrow(/fail/i);
      expect((await cut.done).apiKey).toBe(API.Produce);
      expect(link.requests('Produce')).toBe(1);
    } finally {
      await producer.close(true);
      await link.close();
    }
    const records = await kcatConsume(cluster, TOPIC);
    expect(records.filter(({ value }) => value === 'unanswered')).toHaveLength(1);
  });
});
