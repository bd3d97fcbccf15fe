import { afterEach, expect, test } from 'vitest';
import { streamId } from '../../src/record.ts';
import { MemoryLog } from '../support/memory-log.ts';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';
import { CUT_AT, MqttCutter } from '../support/mqtt-cutter.ts';
import { add, cleanups, Life, mirrorTo, patience, telemetry } from './mqtt-rig.ts';

/** QoS 2 to a central gatelog, which holds a session to its Receive Maximum across connections. */
afterEach(stopTestBrokers);

const COUNT = 30_000;
const ALARMS = 50;

test('a session that is full of what was under way takes alarms before that comes again', async () => {
  const centre = await startTestBroker({ ingest: { central: true } });
  const cutter = await MqttCutter.start(centre.port);
  cleanups.push(() => cutter.close());
  const log = new MemoryLog();
  const alarm = log.topic('alarm').streams[0] ?? streamId(-1);
  const topics = [{ match: 'alarm', class: 'alarm', drain: 'backlog-first' } as const, '*'];
  const url = `mqtt://127.0.0.1:${cutter.port}`;
  const { mirror } = mirrorTo(url, { qos: 2 }, { topics, drainMs: 200 }, new Life(log));
  const stream = telemetry(log);
  for (let at = 0; at < COUNT; at++) add(log, stream, 'device/1', String(at));
  await mirror.start();
  // Until so much is under way, the link is fast: as much as the centre takes.
  await expect.poll(() => mirror.status().recordsSent, patience).toBeGreaterThan(COUNT / 3);
  centre.writer.hold();
  const passed = (of: keyof typeof CUT_AT): number => cutter.passed.get(CUT_AT[of]) ?? 0;
  // As much as the centre takes (1,024); on a busy machine the mirror finds the link slow, and sends less.
  let before = 0;
  const isSettled = (): boolean => {
    const now = passed('PUBLISH') - passed('PUBREL');
    const isSame = now === before && now >= ALARMS * 4;
    before = now;
    return isSame;
  };
  await expect.poll(isSettled, { ...patience, interval: 1000 }).toBe(true);
  cutter.refuse();
  await expect.poll(() => mirror.status().state, patience).toBe('backing off');
  centre.writer.resume();
  for (let at = 0; at < ALARMS; at++) add(log, alarm, 'device/1/alarm', `alarm ${at}`);
  cutter.accept();
  await expect
    .poll(() => mirror.status(), patience)
    .toMatchObject({ state: 'live', lagRecords: 0 });
  const texts = centre.writer.records.map(({ value }) => Buffer.from(value ?? []).toString());
  expect(texts.filter((text) => text.startsWith('alarm'))).toHaveLength(ALARMS);
  const numbers = texts.filter((text) => !text.startsWith('alarm')).map(Number);
  expect(numbers).toEqual(Array.from({ length: COUNT }, (_, at) => at));
});
