import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { makeEntry } from '../../src/agent/password-entry.ts';
import { systemRandom } from '../../src/random.ts';
import { ruleOf } from '../support/acl-rule.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { RawDevice } from '../support/mqtt-raw.ts';
import { subscribe } from '../support/mqtt-session.ts';
import { rememberingLogger } from '../support/store-kit.ts';

/** What is told of those who are refused something. */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(path.join(tmpdir(), 'gatelog-refusals-'));
});
afterEach(async () => {
  await stopTestBrokers();
  rmSync(folder, { recursive: true, force: true });
});

const users = [{ username: 'press', password: 'planted' }];

function login(clientId: string, password: string = 'planted'): Record<string, unknown> {
  return { clientId, username: 'press', password: Buffer.from(password) };
}

function told(
  logger: ReturnType<typeof rememberingLogger>,
  event: string,
): Readonly<Record<string, unknown>>[] {
  return logger.lines.filter(({ fields }) => fields['event'] === event).map(({ fields }) => fields);
}

test('a refusal at a limit is told, whatever else was refused right before it', async () => {
  const logger = rememberingLogger();
  const limits = { addressConnectsPerSecond: 4 };
  const { port } = await startTestBroker({ users, logger, maxConnectionsPerUser: 1, limits });
  await RawDevice.connect(port, 5, login('guess', 'wrong'));
  await RawDevice.connect(port, 5, login('one'));
  const crowded = await RawDevice.connect(port, 5, login('two'));
  expect(crowded.last('connack')?.['reasonCode']).toBe(0x88);
  expect(told(logger, 'login.refused').map(({ client }) => client)).toEqual(['guess', 'two']);
  const many = await Promise.all(Array.from({ length: 5 }, () => RawDevice.dial(port)));
  await Promise.race(many.map((device) => device.untilClosed()));
  expect(told(logger, 'connection.refused')).toEqual([
    { event: 'connection.refused', from: '127.0.0.1' },
  ]);
});

test('refusals and ends of logins say who it was, and from where', async () => {
  const file = path.join(folder, 'users');
  const entry = await makeEntry(Buffer.from('planted'), systemRandom);
  writeFileSync(file, `press:${entry}\n`);
  const logger = rememberingLogger();
  const { port, broker } = await startTestBroker({
    usersFile: file,
    logger,
    acl: [ruleOf({ publish: ['a'], subscribe: ['b/#'] })],
    limits: { subscriptions: 1 },
  });
  const device = await RawDevice.connect(port, 5, login('one'));
  device.send(device.publish('secret', 'x', 1, 1));
  expect(await subscribe(device, { topic: 'b/1', qos: 0 })).toEqual([0]);
  expect(await subscribe(device, { topic: 'b/2', qos: 0 })).toEqual([0x97]);
  writeFileSync(file, `other:${entry}\n`);
  await broker.lookAtFiles();
  await device.untilClosed();
  const who = { client: 'one', user: 'press', from: '127.0.0.1' };
  for (const event of ['access.refused', 'subscriptions.full', 'login.revoked']) {
    expect(told(logger, event)).toEqual([expect.objectContaining({ event, ...who })]);
  }
});
