import { afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { DemoRig, figure } from '../support/demo-rig.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';

/** `gatelog demo --kafka`: the same show with a real Kafka in the central's place. */
const CLEAN = /clean: every acknowledged reading is in Kafka exactly once, in order/u;
const kafka = KafkaOfFile.open();
let brokers: string;
let rig: DemoRig;

beforeAll(async () => {
  brokers = kafka.cluster.bootstrap('plaintext').join(',');
});

beforeEach(async () => {
  rig = await DemoRig.open();
});

afterEach(async () => {
  await rig.close();
});

test('a paused mirror and a killed agent: said, then all of it in Kafka exactly once', async () => {
  const terminal = rig.open('--kafka', brokers);
  // Twenty sensors go on: a busy machine is always a little behind.
  await terminal.until(/mirror (?:live|catching up)/u);
  await terminal.until(/20\/20 connected/u);
  terminal.type('c');
  await terminal.until(/mirror paused by you/u);
  terminal.type('b');
  await terminal.until(/no proxy can stand before Kafka/u);
  terminal.type('k');
  await terminal.until(/edge agent killed \(SIGKILL\), restarting[\s\S]*edge agent is back/u);
  await terminal.until(/edge agent is back[\s\S]*lag +[1-9]/u);
  terminal.type('q');
  await terminal.until(/\ncode \d+/u);
  expect(terminal.output).toMatch(
    /not complete: nothing is lost; left for the next run: \d+ records?/u,
  );
  expect(terminal.output).toMatch(/\ncode 1\r?\n/u);

  const next = await rig.run('--kafka', brokers, '--for', '5s');
  expect(await next.exited).toEqual({ code: 0, signal: null });
  const output = next.stdout();
  expect(output).toContain('the mirror was left paused: resumed');
  expect(output).toMatch(CLEAN);
  expect(figure(output, 'records arrived')).toBe(figure(output, 'records in the folder'));
});

test('a cluster that is not there: nothing is lost, and the report says what waits', async () => {
  const running = await rig.run('--kafka', '127.0.0.1:1', '--for', '3s');
  expect(await running.exited).toEqual({ code: 1, signal: null });
  expect(running.stdout()).toContain('0 acknowledged readings missing, 0 out of order');
  expect(running.stdout()).toMatch(/not complete: the edge lost nothing, but Kafka could not/u);
});
