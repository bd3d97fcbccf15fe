import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { GatewayJson } from '../../src/cli/fleet-book.ts';
import { CliFolder } from '../support/cli.ts';
import { FakeTime } from '../support/fake-time.ts';
import { KafkaOfFile } from '../support/kafka/of-file.ts';

/** What gateways tell of themselves arrives in a real Kafka, and `gatelog fleet` shows it. */
const kafka = KafkaOfFile.open();
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

function configure(gateway: string, interval: string): string[] {
  const brokers = JSON.stringify(kafka.cluster.bootstrap('plaintext'));
  const file = `${gateway}.yaml`;
  writeFileSync(
    path.join(cli.folder, file),
    `gateway: ${gateway}\ndata: ${gateway}\nhttp: false\nmqtt: {listen: ["mqtt://127.0.0.1:0"]}\n` +
      `metrics: {interval: ${interval}}\nmirrors: {central: {kafka: {brokers: ${brokers},` +
      ` topic: "fleet.{topic}", create: {partitions: 2, replicationFactor: 3}}}}\n`,
  );
  return ['--config', file];
}

async function fleet(
  place: readonly string[],
  env: Record<string, string> = {},
): Promise<GatewayJson[]> {
  const { stdout } = await cli.run(['fleet', ...place, '--json'], env);
  return stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as GatewayJson);
}

test('two gateways tell Kafka of themselves, and one that stops is late', async () => {
  const places = [configure('fleet-a', '5s'), configure('fleet-b', '1h')];
  const [place = []] = places;
  const missing = await cli.run(['fleet', ...place]);
  expect(missing).toMatchObject({ code: 70 });
  expect(missing.stderr).toContain('metrics.interval');
  const agents = await Promise.all(places.map((each) => cli.start(['run', ...each])));
  const seen = { mirrors: [{ name: 'central' }], devices: { connections: 0 } };
  const live = { gateway: 'fleet-a', mirrors: [{ name: 'central', state: 'live' }] };
  await expect
    .poll(() => fleet(place), { timeout: 60_000, interval: 500 })
    .toMatchObject([
      { gateway: 'fleet-a', late: false, health: { ...seen, ...live } },
      { gateway: 'fleet-b', late: false, health: seen },
    ]);
  const [one, other] = agents;
  expect(await one?.stop(25_000)).toEqual({ code: 0, signal: null });
  // As a person sees it who looks a little later: three intervals of the one, and none of the other.
  const { env } = new FakeTime(path.join(cli.folder, 'later'), 20_000);
  expect((await fleet(place, env)).map(({ late }) => late)).toEqual([true, false]);
  const told = await cli.run(['fleet', ...place], env);
  expect(told.stdout).toMatch(/^fleet-a .* central live$/mu);
  expect(told.stdout).toContain('2 gateways, 1 late');
  expect(await other?.stop(25_000)).toEqual({ code: 0, signal: null });
});
