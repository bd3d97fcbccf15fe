import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AuditReport } from '../../src/mirror/audit.ts';
import NODE_FLAGS from '../../deploy/node-flags.json' with { type: 'json' };
import { type Enter, runGatelog } from '../support/hunt/agent-process.ts';
import { agentStatus } from '../support/hunt/control.ts';
import { Gateway } from '../support/hunt/gateway.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { startKafkaCluster } from '../support/kafka/cluster.ts';
import { type KafkaLink, openKafkaLink } from '../support/kafka/link.ts';
import { MemoryGroup } from '../support/memory-group.ts';
import { runChecked } from '../support/process.ts';

/**
 * `npm run test:small-memory`: what a board with 512 MB is asked for, with the memory of the unit there. A backlog
 * of GATELOG_BACKLOG records (default 1,000,000) gathers while the link is down, then it drains while 1,000
 * messages/s go on coming; the group of the built agent has 160 MiB in all, page cache and sockets included.
 */
const MEMORY = Number(process.env['GATELOG_MEMORY_MIB'] ?? '160') * 1_048_576;
const BACKLOG = Number(process.env['GATELOG_BACKLOG'] ?? '1000000');
const RATE = 1000;
const STEADY_SECONDS = 20;
const LIMIT_MS = 600_000;
const LOAD = join(import.meta.dirname, '../support/mqtt-load.ts');

/** Node's, as the unit has them beside those that every way of starting it has. */
function unitFlags(): readonly string[] {
  const unit = readFileSync(
    join(import.meta.dirname, '../../deploy/systemd/gatelog.service'),
    'utf8',
  );
  const flags = /^ExecStart=\S+ (.*?) \S+main\.js run/mu.exec(unit)?.[1] ?? '';
  return flags.split(' ').filter((flag) => !NODE_FLAGS.includes(flag));
}

async function load(port: number, flags: readonly (string | number)[]): Promise<unknown> {
  const args = [LOAD, '--port', port, '--payload', 150, '--topics', 200, ...flags].map(String);
  const { stdout } = await runChecked({ command: process.execPath, args }, LIMIT_MS);
  return JSON.parse(stdout);
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function recordsOf(data: string): Promise<number> {
  const { topics } = await agentStatus(data);
  return topics.reduce((sum, topic) => sum + topic.records, 0);
}

/** What the agent tells of its memory, at most. */
class Told {
  heapMB = 0;
  externalMB = 0;
  #goesOn = true;
  readonly #data: string;
  readonly #watching: Promise<void>;

  constructor(data: string) {
    this.#data = data;
    this.#watching = this.#watch();
  }

  async stop(): Promise<void> {
    this.#goesOn = false;
    await this.#watching;
  }

  async #watch(): Promise<void> {
    while (this.#goesOn) {
      const { memory } = await agentStatus(this.#data).catch(() => ({ memory: undefined }));
      this.heapMB = Math.max(this.heapMB, (memory?.heapUsedBytes ?? 0) / 1e6);
      this.externalMB = Math.max(this.externalMB, (memory?.externalBytes ?? 0) / 1e6);
      await pause(100);
    }
  }
}

/** Fills, drains and audits; a line for the peak of each part. */
async function drainBeside(gateway: Gateway, group: MemoryGroup, link: KafkaLink): Promise<void> {
  const phase = (name: string): void => {
    console.log(`small memory: ${name}: ${(group.takePeak() / 1e6).toFixed(0)} MB`);
  };
  await gateway.ready();
  phase('start');
  const steady = ['--rate', RATE, '--connections', 50, '--seconds', STEADY_SECONDS];
  await load(gateway.port, steady);
  phase(`${RATE} messages/s, link down`);
  while ((await recordsOf(gateway.data)) < BACKLOG) {
    await load(gateway.port, ['--connections', 20, '--window', 50, '--seconds', 3]);
  }
  phase('gathering the backlog as fast as it can');
  const begunMs = performance.now();
  const told = new Told(gateway.data);
  await link.setMode('open');
  const latencies = load(gateway.port, steady);
  await gateway.mirrored(LIMIT_MS);
  const seconds = (performance.now() - begunMs) / 1000;
  await told.stop();
  phase(`draining beside ${RATE} messages/s`);
  const { heapMB, externalMB } = told;
  console.log('small memory:', { seconds, heapMB, externalMB, latencies: await latencies });
  await gateway.mirrored(LIMIT_MS);
}

test('1,000 messages/s and the drain of a backlog in 160 MiB', async () => {
  const group = MemoryGroup.make(`gatelog-small-${process.pid}`, MEMORY);
  const cluster = await startKafkaCluster();
  const link = await openKafkaLink(cluster);
  try {
    await inWorkFolder('small', async (folder) => {
      const name = `small-${process.pid}`;
      const enter: Enter = ({ args = [], ...spec }) =>
        group.enter({ ...spec, args: [...unitFlags(), ...args] });
      const setting = { folder, name, cluster, listener: 'proxied', enter } as const;
      const gateway = await Gateway.make(setting);
      await gateway.grant(cluster);
      await link.setMode('refuse');
      const agent = await gateway.start();
      group.watch();
      try {
        await Promise.race([drainBeside(gateway, group, link), agent.endedByItself()]);
        expect(group.killed()).toBe(0);
        const brokers = cluster.bootstrap('plaintext').join(',');
        const central = gateway.centralTopics().flatMap((topic) => ['--topic', topic]);
        const flags = ['verify', '--kafka', brokers, ...central, '--json'];
        const { code, stdout } = await runGatelog(flags, LIMIT_MS);
        const report = JSON.parse(stdout) as AuditReport;
        expect({ code, clean: report.clean }).toEqual({ code: 0, clean: true });
        expect(report.records).toBe(await recordsOf(gateway.data));
      } finally {
        await gateway.end();
      }
    });
  } finally {
    await link.close();
    await cluster.close();
    group.remove();
  }
});
