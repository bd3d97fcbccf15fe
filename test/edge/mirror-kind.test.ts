import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { AgentStatus } from '../../src/admin/status.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';

/** A far side of another kind under the same name has had nothing of what the one before had. */
let cli: CliFolder;
let broker: Mosquitto;
beforeEach(async () => {
  cli = new CliFolder();
  broker = await startMosquitto();
});
afterEach(async () => {
  await cli.remove();
  await broker.stop();
});

const startWith = (upstream: object): ReturnType<CliFolder['startAgent']> => {
  const config = { gateway: 'gw-1', data: 'gatelog-data', mirrors: { central: upstream } };
  writeFileSync(path.join(cli.folder, 'gatelog.yaml'), JSON.stringify(config));
  return cli.startAgent(['--config', 'gatelog.yaml']);
};

async function lag(): Promise<number | undefined> {
  const { stdout } = await cli.run(['status', '--config', 'gatelog.yaml', '--json']);
  return (JSON.parse(stdout) as AgentStatus).mirrors[0]?.lagRecords;
}

test('what went to an MQTT broker goes to Kafka, too, when the mirror leads there', async () => {
  const first = await startWith({ mqtt: { url: broker.url } });
  await publish(first.url, [
    { topic: 'a', payload: '1' },
    { topic: 'b', payload: '2' },
  ]);
  await expect.poll(lag, { timeout: 20_000 }).toBe(0);
  await first.agent.stop();
  // Nobody is there: what waits for it shows.
  const { agent } = await startWith({ kafka: { brokers: ['127.0.0.1:1'] } });
  expect(agent.stdout()).toMatch(/"event":"mirror\.kind".*begins anew/u);
  expect(await lag()).toBe(2);
});
