import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { GatewayJson } from '../../src/cli/fleet-book.ts';
import { CliFolder } from '../support/cli.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';

/** What gateways tell of themselves arrives in a real Kafka, and `gatelog fleet` shows it. */
const kafka = KafkaOfFile.open();
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

function configure(gateway: string): string[] {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  const file = `${gateway}.yaml`;
  writeFileSync(
    path.join(cli.folder, file),
    `gateway: ${gateway}\ndata: ${gateway}\nhttp: false\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `metrics: {interval: 5s}\nmirrors: {central: {kafka: {brokers: ${brokers},` +
      ` topic: "fleet.{topic}", create: {partitions: 2, replicationFactor: 3}}}}\n`,
  );
  return ['--config', file];
}

async function fleet(place: readonly string[]): Promise<GatewayJson[]> {
  const { stdout } = await cli.run(['fleet', ...place, '--json']);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as GatewayJson);
}

test('two gateways tell Kafka of themselves, and one that stops is late', async () => {
  const places = ['fleet-a', 'fleet-b'].map(configure);
  const [place = []] = places;
  const missing = await cli.run(['fleet', ...place]);
  expect(missing).toMatchObject({ code: 70 });
  expect(missing.stderr).toContain('metrics.interval');
  const agents = await Promise.all(places.map((each) => cli.start(['run', ...each])));
  const seen = { mirrors: [{ name: 'central' }], devices: { connections: 0 } };
  await expect
    .poll(() => fleet(place), { timeout: 60_000, interval: 500 })
    .toMatchObject([
      { gateway: 'fleet-a', late: false, health: { ...seen, gateway: 'fleet-a' } },
      { gateway: 'fleet-b', late: false, health: seen },
    ]);
  const [one, other] = agents;
  expect(await one?.stop(25_000)).toEqual({ code: 0, signal: null });
  const lates = async (): Promise<boolean[]> => (await fleet(place)).map(({ late }) => late);
  await expect.poll(lates, { timeout: 60_000, interval: 1000 }).toEqual([true, false]);
  const told = await cli.run(['fleet', ...place]);
  expect(told.stdout).toMatch(/^fleet-b .* central live$/mu);
  expect(told.stdout).toContain('2 gateways, 1 late');
  expect(await other?.stop(25_000)).toEqual({ code: 0, signal: null });
});
