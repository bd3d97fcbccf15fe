import { afterEach, expect, test } from 'vitest';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { runProcess } from '../support/process.ts';

/** Tools that know Mosquitto's `$SYS` find here what they know. */
let mosquitto: Mosquitto | undefined;
afterEach(async () => {
  await stopTestBrokers();
  await mosquitto?.stop();
});

async function topicsAt(port: number, enough: number): Promise<string[]> {
  const args = ['-p', String(port), '-t', '$SYS/#', '-F', '%t', '-C', String(enough), '-W', '10'];
  const { stdout } = await runProcess({ command: 'mosquitto_sub', args });
  return [...new Set(stdout.split('\n').filter((line) => line !== ''))].toSorted();
}

test('every topic of a real Mosquitto is here, but those that docs/system-topics.md names', async () => {
  mosquitto = await startMosquitto({ lines: ['allow_anonymous true', 'sys_interval 1'] });
  const { port } = await startTestBroker({ sysIntervalMs: 1000 });
  const [theirs, ours] = await Promise.all([topicsAt(mosquitto.port, 60), topicsAt(port, 60)]);
  expect(theirs.length).toBeGreaterThan(45);
  const missing = theirs.filter((topic) => !ours.includes(topic));
  expect(missing).toEqual([
    '$SYS/broker/clients/expired',
    '$SYS/broker/heap/current',
    '$SYS/broker/heap/maximum',
  ]);
  expect(ours.filter((topic) => !theirs.includes(topic))).toEqual([]);
});
