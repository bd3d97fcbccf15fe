import { afterEach, describe, expect, test } from 'vitest';
import type { AclRule } from '../../src/agent/config-types.ts';
import { ruleOf } from '../support/acl-rule.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers, type TestBroker } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { signed } from '../support/tokens.ts';

/** Who is away after a start is under the rules of the day, with the roles that its token gave it. */
afterEach(stopTestBrokers);

const SECRET = 'a secret of at least thirty-two bytes';
const users = [{ username: 'source', password: 'x' }];
const EVERYTHING = ruleOf({ users: ['source'], publish: ['#'], subscribe: ['#'] });
const BEFORE = [
  EVERYTHING,
  ruleOf({ roles: ['reader'], publish: ['wills/#'], subscribe: ['plant/#'] }),
];

function start(space: MortalSpace, acl: readonly AclRule[]): Promise<TestBroker> {
  const jwt = {
    keys: undefined,
    secret: SECRET,
    algorithms: ['HS256'] as const,
    userClaim: 'sub',
    rolesClaim: 'roles',
    issuer: undefined,
    audience: undefined,
    toleranceMs: 0,
    endWithToken: true,
  };
  return startTestBroker({ keep: { space, willGraceMs: 100 }, users, jwt, acl });
}

/** The power fails, and the rules are others when it is back. */
function again(space: MortalSpace, acl: readonly AclRule[]): Promise<TestBroker> {
  space.kill();
  return start(new MortalSpace(space.disk), acl);
}

async function reader(port: number, more: Record<string, unknown>): Promise<RawDevice> {
  const token = await signed(
    { sub: 'ann', roles: ['reader'] },
    { alg: 'HS256' },
    Buffer.from(SECRET),
    600,
  );
  const login = { username: 'ann', password: Buffer.from(token), clientId: 'ann-1' };
  const device = await RawDevice.connect(port, 4, { ...login, ...more });
  expect(device.last('connack')?.['returnCode']).toBe(0);
  return device;
}

async function publishes(port: number, ...topics: string[]): Promise<void> {
  const login = { username: 'source', password: Buffer.from('x'), clientId: 'source' };
  const device = await RawDevice.connect(port, 4, login);
  device.send(...topics.map((topic, at) => device.publish(topic, topic, 1, at + 1)));
  await device.until(() => device.ids('puback').length === topics.length);
  device.close();
}

async function subscribes(device: RawDevice, topic: string): Promise<void> {
  device.send({ cmd: 'subscribe', messageId: 1, subscriptions: [{ topic, qos: 1 }] });
  await device.until(() => device.ids('suback').length === 1);
}

describe.each([
  ['allow it', [], true],
  ['deny it', [ruleOf({ roles: ['reader'], deny: { publish: ['#'], subscribe: ['#'] } })], false],
] as const)('the rules %s', (_, more, isAllowed) => {
  test.each([true, false])('a will, Clean Session %j', async (clean) => {
    const space = new MortalSpace();
    const { port } = await start(space, BEFORE);
    const will = { topic: 'wills/ann', payload: Buffer.from('gone'), qos: 1, retain: false };
    await reader(port, { clean, will });
    const { writer, broker } = await again(space, [...BEFORE, ...more]);
    await expect.poll(() => writer.values().length + broker.counters().refused).toBe(1);
    expect(writer.values()).toEqual(isAllowed ? ['gone'] : []);
  });

  test('what is queued for a session that is away', async () => {
    const space = new MortalSpace();
    const { port } = await start(space, BEFORE);
    const ann = await reader(port, { clean: false });
    await subscribes(ann, 'plant/#');
    const next = await again(space, [...BEFORE, ...more]);
    await publishes(next.port, 'plant/a');
    expect(next.broker.counters().queuedBytes > 0).toBe(isAllowed);
  });
});

test('a shared message is kept for no session that may not have it', async () => {
  const deny = { publish: [], subscribe: ['plant/b'] };
  const { port } = await start(new MortalSpace(), [...BEFORE, ruleOf({ users: ['ann'], deny })]);
  const ann = await reader(port, { clean: false });
  await subscribes(ann, '$share/all/plant/#');
  ann.close();
  const login = { username: 'source', password: Buffer.from('x'), clean: false, clientId: 'other' };
  const other = await RawDevice.connect(port, 4, login);
  await subscribes(other, '$share/all/plant/#');
  other.close();
  await publishes(port, ...Array.from({ length: 6 }, () => 'plant/b'));
  const back = await RawDevice.connect(port, 4, login);
  await expect.poll(() => back.packets.filter(({ cmd }) => cmd === 'publish').length).toBe(6);
});
