import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { must } from '../../src/assert.ts';
import type { LinkStatus } from '../../src/mirror/policy/link-status.ts';
import type { MirrorStatus } from '../../src/mirror/status.ts';
import { CliFolder, publish } from '../support/cli.ts';
import { agentStatus } from '../support/hunt/control.ts';
import { until } from '../support/hunt/wait.ts';
import { type Mosquitto, startMosquitto } from '../support/mosquitto.ts';

/** The whole program with a link that costs, and a real Mosquitto behind it. */
let cli: CliFolder;
let mosquitto: Mosquitto;

beforeEach(async () => {
  cli = new CliFolder();
  mosquitto = await startMosquitto();
});

afterEach(async () => {
  await cli.remove();
  await mosquitto.stop();
});

function configure(): string {
  const file = path.join(cli.folder, 'gatelog.yaml');
  writeFileSync(
    file,
    `data: ${cli.data}
mqtt: { listen: ["mqtt://127.0.0.1:0"] }
topics: { telemetry: { partitions: 2 }, alarms: { partitions: 1 } }
routes:
  - { match: "alarm/#", topic: alarms }
  - { match: "#", topic: telemetry }
mirrors:
  central:
    topics: [{ match: alarms, class: alarm }, "*"]
    mqtt: { url: "${mosquitto.url}" }
    link:
      rate: 80Mbit/s
      zone: UTC
      budget: [{ bytes: 150kB, per: month, exempt: [alarm] }]
      metered: { interfaces: ["wwan*"], networkManager: false, then: pause }
`,
  );
  return file;
}

async function start(file: string): Promise<string> {
  const agent = await cli.start(['run', '--config', file]);
  const [, url = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  return url;
}

async function mirror(): Promise<MirrorStatus> {
  const { mirrors } = await agentStatus(cli.data);
  return must(mirrors[0], 'one is configured');
}

const linkOf = ({ link }: MirrorStatus): LinkStatus => must(link, 'the mirror has a policy');

test('a budget ends, alarms go on, a kill changes nothing, and the status says all of it', async () => {
  const file = configure();
  const url = await start(file);
  const payload = 'x'.repeat(1000);
  const many = Array.from({ length: 200 }, (_, index) => ({
    topic: `plant/${index % 7}`,
    payload,
  }));
  await publish(url, many);
  let status = await mirror();
  const held = async (): Promise<boolean> => {
    status = await mirror();
    return linkOf(status).holds.length > 0;
  };
  await until(held, 30_000, () => JSON.stringify(status));
  const sent = status.recordsSent;
  expect(sent).toBeGreaterThan(20);
  expect(sent).toBeLessThan(140);
  await publish(url, [{ topic: 'alarm/fire', payload: 'now' }]);
  await until(
    async () => {
      status = await mirror();
      return status.topics.some(
        ({ topic, partitions }) => topic === 'alarms' && partitions[0]?.lagRecords === 0,
      );
    },
    30_000,
    () => JSON.stringify(status),
  );
  const [budget] = linkOf(status).budgets;
  expect(budget).toMatchObject({ per: 'month', bytes: 150_000, over: true, exempt: ['alarm'] });
  expect(linkOf(status).wireBytes).toBeGreaterThan(sent * 1000);
  expect(budget?.usedBytes).toBeLessThanOrEqual(155_000);
  const { stdout } = await cli.run(['mirror', 'status', '--data', cli.data]);
  expect(stdout).toMatch(/high, normal, bulk held back since .* budget of this month is used up/u);
  expect(stdout).toMatch(/central: link: .* of at most 80 Mbit\/s, .* on the wire since start/u);
  expect(stdout).toMatch(
    /central: budget of the month: .* of 150\.0 kB .*, used up, alarm exempt/u,
  );

  await cli.killAll();
  await start(file);
  await until(held, 30_000, () => JSON.stringify(status));

  expect(status.recordsSent).toBeLessThan(10);
  expect(linkOf(status).budgets[0]?.usedBytes).toBeGreaterThanOrEqual(budget?.usedBytes ?? 0);
});
