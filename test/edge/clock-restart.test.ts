import { utimesSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { systemClock } from '../../src/time.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { FakeTime } from '../support/fake-time.ts';

/** Real processes of one boot, the wall clock set by libfaketime. */
let cli: CliFolder;
let fake: FakeTime;
beforeEach(() => {
  cli = new CliFolder();
  fake = new FakeTime(path.join(cli.folder, 'fake-time'), 0);
});
afterEach(() => cli.remove());

const PLACE = ['--config', 'gatelog.yaml'];
const PATIENT = { timeout: 60_000, interval: 100 };
const TEN_YEARS = 10 * 365 * 86_400_000;
const OFF_MS = 1100;

async function start() {
  const agent = await cli.start(['run', ...PLACE], fake.env);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  return { agent, url };
}

async function clockStatus(): Promise<AgentStatus['clock'] | undefined> {
  const { stdout } = await cli.run(['status', ...PLACE, '--json']);
  return stdout === '' ? undefined : (JSON.parse(stdout) as AgentStatus).clock;
}

test('killed after the clock jumped ten years: a touch of before does not confirm it at the next start', async () => {
  writeFileSync(
    path.join(cli.folder, 'gatelog.yaml'),
    'gateway: restart\ndata: data\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n' +
      'clock: {trust: "file:synchronised"}\ntopics: {telemetry: {partitions: 1}}\n',
  );
  const touched = path.join(cli.folder, 'synchronised');
  writeFileSync(touched, '');
  const { agent } = await start();
  await expect.poll(clockStatus, PATIENT).toMatchObject({ state: 'trusted' });
  fake.set(TEN_YEARS);
  await expect.poll(clockStatus, PATIENT).toMatchObject({ state: 'suspect', jumps: 1 });
  await agent.kill();

  const again = await start();
  expect(await clockStatus()).toMatchObject({ state: 'suspect', source: null });
  const fromMs = systemClock.nowMs() - OFF_MS;
  await publish(again.url, [{ topic: 'plant', payload: 'ahead' }]);
  const toMs = systemClock.nowMs() + OFF_MS;
  const { stdout } = await cli.run(['consume', 'telemetry', '--json', ...PLACE]);
  const record = JSON.parse(stdout) as { readonly timestamp: number };
  expect(record).toMatchObject({ value: 'ahead', time: 'corrected' });
  expect(record.timestamp).toBeGreaterThanOrEqual(fromMs);
  expect(record.timestamp).toBeLessThanOrEqual(toMs);
  const { stdout: shown } = await cli.run(['status', ...PLACE]);
  expect(shown).toMatch(
    /^clock {5}suspect, for \d+\w+.* away from where the monotonic clock says/mu,
  );

  // Touched anew, and so by the clock as it is.
  const seconds = (systemClock.nowMs() + TEN_YEARS) / 1000;
  utimesSync(touched, seconds, seconds);
  await expect.poll(clockStatus, PATIENT).toMatchObject({ state: 'trusted' });
  expect(await again.agent.stop(25_000)).toEqual({ code: 0, signal: null });
});
