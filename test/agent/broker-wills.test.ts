import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { afterAll, afterEach, expect, test, vi } from 'vitest';
import { createAedes } from '../../src/agent/broker-aedes.ts';
import { SessionPersistence } from '../../src/agent/broker-persistence.ts';
import { MemoryWriter } from '../support/memory-writer.ts';
import { MortalSpace } from '../support/mortal-space.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { heard, payloads, publishFrom, subscribe } from '../support/mqtt-session.ts';
import { memorySessions } from '../support/session-rig.ts';

/** Wills between the connection that left them, the store, the rules and the log. */
const folder = mkdtempSync(path.join(tmpdir(), 'gatelog-wills-'));
afterEach(async () => {
  vi.restoreAllMocks();
  await stopTestBrokers();
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

function will(text: string, more: Record<string, unknown> = {}): Record<string, unknown> {
  return { will: { topic: 'will', payload: Buffer.from(text), qos: 1, retain: false, ...more } };
}

test('the will of a connection that takes over is there after a power cut', async () => {
  const space = new MortalSpace();
  const { port, writer: before } = await startTestBroker({ keep: { space } });
  await RawDevice.connect(port, 4, { clientId: 'c', ...will('first') });
  await RawDevice.connect(port, 4, { clientId: 'c', ...will('second') });
  await expect.poll(() => before.values()).toEqual(['first']);
  await publishFrom(port, 'x', ['y']);
  await RawDevice.connect(port, 4, { clientId: 'other', ...will('other') }); // its write takes all along
  space.kill();
  const keep = { space: new MortalSpace(space.disk), willGraceMs: 100 };
  const { writer } = await startTestBroker({ keep });
  await expect.poll(() => writer.values().toSorted()).toEqual(['other', 'second']);
});

test('a will that waits for its delay is under the rules of when it is published', async () => {
  const aclFile = path.join(folder, 'rules.yaml');
  const allow = (topic: string): void => {
    writeFileSync(aclFile, `acl:\n  - {publish: ["${topic}"], subscribe: ["#"]}\n`);
  };
  allow('will');
  const users = [{ username: 'u', password: 'x' }];
  const { port, broker, writer } = await startTestBroker({ users, aclFile });
  const device = await RawDevice.connect(port, 5, {
    clientId: 'c',
    username: 'u',
    password: Buffer.from('x'),
    clean: false,
    properties: { sessionExpiryInterval: 600 },
    ...will('gone', { properties: { willDelayInterval: 1 } }),
  });
  device.close();
  await expect.poll(() => broker.counters().connections).toBe(0);
  allow('elsewhere');
  await broker.lookAtFiles();
  await expect.poll(() => broker.counters().refused, { timeout: 5000 }).toBe(1);
  expect(writer.values()).toEqual([]);
});

test('a wall clock that jumps publishes no wills of those who are there', async () => {
  const persistence = new SessionPersistence(await memorySessions());
  const { broker, inner } = await createAedes({ heartbeatInterval: 10 }, persistence);
  const published: string[] = [];
  await new Promise<void>((resolve) => {
    inner.subscribe('will', (packet) => void published.push(String(packet)), resolve);
  });
  await persistence.putWill({ id: 'c' }, { topic: 'will', payload: Buffer.from('x') });
  let days = 0;
  vi.spyOn(Date, 'now').mockImplementation(() => ++days * 86_400_000);
  await setTimeout(100); // aedes would have looked twice
  expect(published).toEqual([]);
  await new Promise<void>((resolve) => {
    broker.close(resolve);
  });
});

test.each([0, 1, 2] as const)(
  'a will of QoS %i that the log can not take is delivered, and counted as lost',
  async (qos) => {
    const writer = new MemoryWriter();
    const { port, broker } = await startTestBroker({ writer });
    const ears = await RawDevice.connect(port, 4, { clientId: 'ears' });
    await subscribe(ears, { topic: 'will', qos: 2 });
    const device = await RawDevice.connect(port, 4, { clientId: 'd', ...will('gone', { qos }) });
    writer.fail();
    device.close();
    await ears.until(() => heard(ears).length === 1);
    expect(payloads(ears)).toEqual(['gone']);
    expect(broker.counters()).toMatchObject({ dropped: 1, failed: 0 });
  },
);
