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

function leadTo(upstream: object): void {
  const config = { gateway: 'gw-1', data: 'gatelog-data', mirrors: { central: upstream } };
  writeFileSync(path.join(cli.folder, 'gatelog.yaml'), JSON.stringify(config));
}

async function lag(): Promise<number | undefined> {
  const { stdout } = await cli.run(['status', '--config', 'gatelog.yaml', '--json']);
  return (JSON.parse(stdout) as AgentStatus).mirrors[0]?.lagRecords;
}

// Nobody is there: what waits for it shows.
const KAFKA = { kafka: { brokers: ['127.0.0.1:1'] } };

test.each(['a restart', 'a reload'])(
  'what went to an MQTT broker goes to Kafka, too, when the mirror leads there after %s',
  async (how) => {
    leadTo({ mqtt: { url: broker.url } });
    let { agent, url } = await cli.startAgent(['--config', 'gatelog.yaml']);
    await publish(url, [
      { topic: 'a', payload: '1' },
      { topic: 'b', payload: '2' },
    ]);
    await expect.poll(lag, { timeout: 20_000 }).toBe(0);
    leadTo(KAFKA);
    if (how === 'a restart') {
      await agent.stop();
      ({ agent, url } = await cli.startAgent(['--config', 'gatelog.yaml']));
    } else {
      await cli.run(['reload', '--config', 'gatelog.yaml']);
    }
    expect(agent.stdout()).toMatch(/"event":"mirror\.kind".*begins anew/u);
    expect(await lag()).toBe(2);
  },
);
