import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, describe, expect, test } from 'vitest';
import { makeEntry } from '../../src/agent/password-entry.ts';
import { systemRandom } from '../../src/random.ts';
import { ruleOf } from '../support/acl-rule.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { listenAt } from '../support/listen.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';

afterEach(stopTestBrokers);

const users = ['press', 'pump'].map((username) => ({ username, password: 'x' }));

async function connect(
  port: number,
  version: 4 | 5,
  username: string | undefined,
  more: Record<string, unknown> = {},
): Promise<{ device: RawDevice; code: unknown }> {
  const named = username === undefined ? {} : { username, password: Buffer.from('x') };
  const device = await RawDevice.connect(port, version, { clientId: 'one', ...named, ...more });
  const { reasonCode, returnCode } = device.last('connack') ?? {};
  return { device, code: version === 5 ? reasonCode : returnCode };
}

const LASTING = { clean: false, properties: { sessionExpiryInterval: 600 } };

async function left(broker: { counters(): { connections: number } }): Promise<void> {
  await expect.poll(() => broker.counters().connections).toBe(0);
}

describe.each([4, 5] as const)('protocol version %i', (version) => {
  const refused = version === 5 ? 0x85 : 2;

  test('a client id is not taken over by another user, and is by its own', async () => {
    const { port, broker } = await startTestBroker({ users });
    const press = await connect(port, version, 'press');
    const pump = await connect(port, version, 'pump');
    expect(pump.code).toBe(refused);
    await press.device.ping();
    expect((await connect(port, version, 'press')).code).toBe(0);
    await press.device.untilClosed();
    expect(broker.counters()).toMatchObject({ connections: 1, connectionsRefused: 1 });
  });

  test('nor is it after one of its own was refused', async () => {
    const { port } = await startTestBroker({ users, acl: [ruleOf({ publish: ['a'] })] });
    const press = await connect(port, version, 'press');
    const will = { topic: 'b', payload: Buffer.from('x'), qos: 0, retain: false };
    const bad = await connect(port, version, 'press', { will });
    expect(bad.code).toBe(version === 5 ? 0x87 : 5);
    await bad.device.untilClosed();
    expect((await connect(port, version, 'pump')).code).toBe(refused);
    await press.device.ping();
  });

  test('nor is its session, also after a restart; it is free when it has ended', async () => {
    const space = new MortalSpace();
    const first = await startTestBroker({ users, keep: { space } });
    (await connect(first.port, version, 'press', LASTING)).device.close();
    await left(first.broker);
    expect((await connect(first.port, version, 'pump', LASTING)).code).toBe(refused);
    expect((await connect(first.port, version, 'pump', { clean: true })).code).toBe(refused);
    space.kill();
    const keep = { space: new MortalSpace(space.disk) };
    const { port, broker } = await startTestBroker({ users, keep });
    expect((await connect(port, version, 'pump', LASTING)).code).toBe(refused);
    const back = await connect(port, version, 'press', { clean: true });
    expect(back.code).toBe(0);
    back.device.close();
    await left(broker);
    expect((await connect(port, version, 'pump', LASTING)).code).toBe(0);
  });

  test('anyone may take over where that is written', async () => {
    const { port } = await startTestBroker({ users, takeOver: 'anyone' });
    const press = await connect(port, version, 'press');
    expect((await connect(port, version, 'pump')).code).toBe(0);
    await press.device.untilClosed();
  });
});

test('of two that come at once one gets it', async () => {
  const { port, broker } = await startTestBroker({ users });
  const both = await Promise.all(
    users.flatMap(({ username }) => [connect(port, 5, username), connect(port, 5, username)]),
  );
  const codes = both.map(({ code }) => code);
  const [press, pump] = [codes.slice(0, 2), codes.slice(2)];
  expect(press.includes(0)).not.toBe(pump.includes(0));
  expect(codes.filter((code) => code === 0x85)).toHaveLength(2);
  await expect.poll(() => broker.counters().connections).toBe(1);
});

test('what nobody with a name has is free, and who has no name takes nothing from who has one', async () => {
  const listen = [{ ...listenAt('mqtt://127.0.0.1:0'), allowAnonymous: true }];
  const { port, broker } = await startTestBroker({ users, listen });
  const nameless = await connect(port, 5, undefined, LASTING);
  expect((await connect(port, 5, undefined, LASTING)).code).toBe(0);
  await nameless.device.untilClosed();
  const named = await connect(port, 5, 'press', LASTING);
  expect(named.code).toBe(0);
  expect((await connect(port, 5, undefined)).code).toBe(0x85);
  named.device.close();
  await left(broker);
  expect((await connect(port, 5, undefined)).code).toBe(0x85);
});

test('what a user had who is removed is free', async () => {
  const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-ids-'));
  try {
    const file = path.join(folder, 'users');
    const entry = await makeEntry(Buffer.from('x'), systemRandom);
    writeFileSync(file, `old:${entry}\nnew:${entry}\n`);
    const { port, broker } = await startTestBroker({ usersFile: file });
    const old = await connect(port, 5, 'old', LASTING);
    expect(old.code).toBe(0);
    expect((await connect(port, 5, 'new', LASTING)).code).toBe(0x85);
    writeFileSync(file, `new:${entry}\n`);
    await broker.lookAtFiles();
    await old.device.untilClosed();
    expect((await connect(port, 5, 'new', LASTING)).code).toBe(0);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});
