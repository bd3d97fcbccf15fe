import { expect, test } from 'vitest';
import type { KafkaWayOptions } from '../../src/mirror/kafka/way.ts';
import { kafkaWay } from '../../src/mirror/kafka/way.ts';
import { kafkaNames } from '../../src/mirror/kafka/options.ts';
import type { WayStep } from '../../src/mirror/way.ts';
import { systemClock } from '../../src/time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';
import { freshName, type TestGateway, gatewayFor, newGateway, pem } from './kafka-rig.ts';

/** The way to a real cluster, step by step: what is found, what is missing, and that nothing is changed. */
const kafka = KafkaOfFile.open();

async function walk(
  { options, topic }: TestGateway,
  changes: Partial<KafkaWayOptions> = {},
): Promise<WayStep[]> {
  const steps: WayStep[] = [];
  const way = kafkaWay({
    brokers: options.brokers,
    sasl: options.sasl,
    delivery: 'exactly-once',
    topics: [topic],
    positionsTopic: options.positionsTopic ?? 'gatelog.positions',
    create: { partitions: -1, replicationFactor: -1 },
    clusterId: undefined,
    ...kafkaNames(options),
    clock: systemClock,
    ...changes,
  });
  for await (const step of way) steps.push(step);
  return steps;
}

const brief = (steps: readonly WayStep[]): string[] =>
  steps.map(({ name, state }) => `${name} ${state}`);

const textOf = (steps: readonly WayStep[], name: string): string =>
  steps
    .filter((step) => step.name === name)
    .map(({ text }) => text)
    .join('\n');

test('all is well: every step is good', async () => {
  const gateway = await newGateway(kafka.cluster);
  // Rights reach the brokers a moment after they were given.
  await expect.poll(async () => brief(await walk(gateway)).at(-1)).toBe('positions good');
  const steps = await walk(gateway);
  expect(brief(steps)).toEqual([
    ...Array.from({ length: 3 }, () => 'connection good'),
    'Kafka good',
    'login good',
    'cluster good',
    'topic good',
    'topic good',
    'transactions good',
    'positions good',
  ]);
  expect(textOf(steps, 'topic')).toContain(`'${gateway.topic}' is there, with 4 partitions`);
});

test('without a right each step that wants one fails and names it; nothing was made', async () => {
  const gateway = await newGateway(kafka.cluster, { grant: false });
  const missing = freshName('missing');
  const steps = await walk(gateway, { topics: [gateway.topic, missing] });
  const failed = steps.filter(({ state }) => state === 'failed').map(({ text }) => text);
  expect(failed).toEqual(
    expect.arrayContaining([
      expect.stringContaining(`topic '${gateway.topic}': grant WRITE and DESCRIBE on it`),
      expect.stringMatching(new RegExp(`'${missing}'.*grant (?:CREATE|WRITE and DESCRIBE)`, 'u')),
      expect.stringMatching(/transactional id .*: grant WRITE and DESCRIBE/u),
      expect.stringMatching(/group .*: grant READ/u),
    ]),
  );
});

test('a right to read alone is not one to write; a missing topic may be made, and is not', async () => {
  const gateway = await newGateway(kafka.cluster);
  const { name: user } = kafka.cluster.state.users.gw;
  const readable = freshName('readable');
  const missing = freshName('missing');
  await kafka.cluster.createTopic(readable, { partitions: 1 });
  await kafka.cluster.grant(user, [
    { resource: 'topic', name: readable, operations: ['READ', 'DESCRIBE'] },
    { resource: 'topic', name: missing, operations: ['CREATE', 'WRITE', 'DESCRIBE'] },
  ]);
  const asked = { topics: [readable, missing] };
  await expect
    .poll(async () => textOf(await walk(gateway, asked), 'topic'))
    .toMatch(new RegExp(`'${missing}' is not there yet; gatelog may make it`, 'u'));
  const steps = await walk(gateway, asked);
  expect(textOf(steps, 'topic')).toContain(`write topic '${readable}': grant WRITE`);
  expect(textOf(steps, 'topic')).toContain(`'${missing}' is not there yet; gatelog may make it`);
  const denied = await walk(gateway, { ...asked, create: false });
  expect(textOf(denied, 'topic')).toContain(`'${missing}' is not there, and gatelog may not`);
});

test('a wrong password, another cluster, a listener that wants TLS', async () => {
  const gateway = gatewayFor(kafka.cluster, 'nowhere');
  const { name: username } = kafka.cluster.state.users.gw;
  const sasl = { mechanism: 'SCRAM-SHA-512', username, password: 'wrong' } as const;
  const login = await walk(gateway, { sasl });
  expect(brief(login).at(-1)).toBe('login failed');
  expect(textOf(login, 'login')).toMatch(/refuses to log us in as/u);

  const other = await walk(gateway, { clusterId: 'another' });
  expect(textOf(other, 'cluster')).toMatch(/clusterId says 'another'/u);

  const brokers = kafka.cluster.bootstrap('saslSsl');
  const plain = await walk(gateway, { brokers });
  expect(brief(plain).at(-1)).toBe('Kafka failed');
  expect(textOf(plain, 'Kafka')).toMatch(/requires TLS/u);

  const untrusted = await walk(gateway, { brokers, tls: {} });
  expect(brief(untrusted)).toContain('TLS failed');
  expect(textOf(untrusted, 'TLS')).toMatch(/check tls.ca/u);

  const { ca } = kafka.cluster.state.certificates;
  const secure = await walk(gateway, { brokers, tls: { ca: pem(ca) } });
  expect(textOf(secure, 'TLS')).toMatch(/TLSv1\.\d, its certificate is good until/u);
  expect(brief(secure)).toContain('login good');
});

test('one broker of two does not answer: that is doubtful, and the rest is looked at', async () => {
  const gateway = await newGateway(kafka.cluster);
  const [first = ''] = gateway.options.brokers;
  const steps = await walk(gateway, { brokers: ['127.0.0.1:1', first] });
  expect(brief(steps).slice(0, 4)).toEqual([
    'connection doubtful',
    'connection good',
    'Kafka good',
    'login good',
  ]);
  expect(textOf(steps, 'connection')).toMatch(/nothing listens there; check host and port/u);
});
