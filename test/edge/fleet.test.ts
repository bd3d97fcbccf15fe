import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { GatewayJson } from '../../src/cli/fleet-book.ts';
import { systemRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { CliFolder } from '../support/cli.ts';
import { freePorts } from '../support/ports.ts';

/** Gateways behind a central gatelog: what they tell of themselves stands in its log, and `gatelog fleet` shows it. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

function configure(gateway: string, lines: readonly string[]): readonly [string, string] {
  const text = [`gateway: ${gateway}`, `data: ${gateway}`, 'http: false', ...lines].join('\n');
  writeFileSync(path.join(cli.folder, `${gateway}.yaml`), `${text}\n`);
  return ['--config', `${gateway}.yaml`];
}

async function fleet(...place: readonly string[]): Promise<GatewayJson[]> {
  const { stdout } = await cli.run(['fleet', ...place, '--json']);
  const lines = stdout.split('\n').filter((line) => line !== '');
  return lines.map((line) => JSON.parse(line) as GatewayJson);
}

/** A loss in the folder of a gateway that has not run yet, told to its topic `_gaps` already. */
async function lose(gateway: string): Promise<void> {
  const folder = path.join(cli.folder, gateway);
  const surroundings = { clock: systemClock, random: systemRandom, logger: silentLogger };
  const store = await openStore({ folder, gateway, ...surroundings, ledgerIdleMs: 50 });
  const range = { partition: 0, records: 3, fromOffset: 4, toOffset: 7, bytes: 30 };
  const why = { reason: 'corruption', detail: 'a block', mirror: undefined } as const;
  await store.ledger.record([{ topic: 'telemetry', ...range, ...why }]);
  await expect.poll(() => store.reader.topic('_gaps')).toBeDefined();
  await store.close();
}

/** Each look is a process. */
const patience = { timeout: 60_000, interval: 500 };
const TELLS = 'metrics: {interval: 5s}';

test('a central gatelog knows itself and those behind it, also when it is stopped', async () => {
  const [port = 0] = await freePorts(1);
  const url = `mqtt://127.0.0.1:${port}`;
  const listen = `mqtt: {listen: ["${url}"], central: true}`;
  const centre = configure('centre', [listen, TELLS]);
  const mirror = `mirrors: {centre: {mqtt: {url: "${url}"}}}`;
  const gateway = configure('gw-a', ['mqtt: {listen: ["mqtt://127.0.0.1:0"]}', TELLS, mirror]);
  const central = await cli.start(['run', ...centre]);
  await central.waitFor(/agent\.ready/u);
  const nobody = await cli.run(['fleet', '--data', 'gw-a']);
  expect(nobody).toMatchObject({ code: 66, stdout: '' });
  await lose('gw-a');
  const agent = await cli.start(['run', ...gateway]);

  const known = [
    { gateway: 'centre', late: false, health: { gateway: 'centre' }, lastLoss: null },
    {
      gateway: 'gw-a',
      late: false,
      health: { gateway: 'gw-a', mirrors: [{ name: 'centre', state: 'live' }] },
      lastLoss: { topic: 'telemetry', reason: 'corruption', records: 3 },
    },
  ];
  await expect.poll(() => fleet(...centre), patience).toMatchObject(known);
  const watch = await cli.start(['fleet', ...centre, '--watch', '--json']);
  const times = (): Set<string> =>
    new Set(watch.stdout().match(/(?<="time":")[^"]+(?="[^\n]*"name":"centre")/gu));
  await expect.poll(() => times().size, patience).toBeGreaterThan(1);
  expect(await watch.stop()).toMatchObject({ code: 0 });

  await agent.stop();
  await central.stop();
  expect(await fleet('--data', 'centre')).toMatchObject(
    known.map(({ gateway: name, lastLoss }) => ({ gateway: name, lastLoss })),
  );
  const both = await cli.run(['fleet', '--data', 'centre', '--kafka', '127.0.0.1:1']);
  expect(both).toMatchObject({ code: 64 });
  expect(both.stderr).toContain('give one of both');
});
