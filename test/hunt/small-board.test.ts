import { join } from 'node:path';
import { expect, test } from 'vitest';
import { buildPackage } from '../../deploy/package/build-package.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import type { AuditReport } from '../../src/mirror/audit.ts';
import { SmallBoard } from '../support/board/small-board.ts';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { GATEWAY_TOPICS, gatewayConfig, MIRROR, namesOf } from '../support/hunt/gateway-config.ts';
import { until } from '../support/hunt/wait.ts';
import { gatewayGrants } from '../support/kafka/admin.ts';
import { type KafkaCluster, startKafkaCluster } from '../support/kafka/cluster.ts';
import { Sockets } from '../support/network/sockets.ts';

/**
 * `npm run test:small-memory`: the installed package as a service on a board with 512 MB, whose systemd bounds it by
 * control groups of version 2. A backlog gathers while the link is down, then it drains beside 1,000 messages/s
 * (or as many as the emulated processor takes), into a real Kafka outside.
 */
const MEMORY = Number(process.env['GATELOG_MEMORY_MIB'] ?? '160') * 1_048_576;
const BACKLOG = Number(process.env['GATELOG_BOARD_BACKLOG'] ?? '200000');
const SECONDS = 20;
const LIMIT_MS = 1_200_000;
const LOAD = join(import.meta.dirname, '../support/mqtt-load.ts');
const RELAY = join(import.meta.dirname, '../support/network/relay.ts');
const GROUP = '/sys/fs/cgroup/system.slice/gatelog.service';
const name = `board-${process.pid}`;
const mirror = { name: MIRROR, prefix: '' };

function config(cluster: KafkaCluster): string {
  const setting = { name, cluster, listener: 'proxied', mirrors: [mirror] } as const;
  const rest = { impatient: false, isMetered: true, numbered: false };
  const text = gatewayConfig({ ...setting, ...rest }, '/var/lib/gatelog', 1883, () => '');
  return text
    .replace('level: debug', 'level: info')
    .replace('"mqtt://127.0.0.1:1883" ]', '"mqtt://0.0.0.0:1883" ]\n  allowAnonymous: true');
}

function centralTopics(): string[] {
  return [...GATEWAY_TOPICS.keys()].map((topic) => namesOf(name, mirror).topic(topic));
}

async function grant(cluster: KafkaCluster): Promise<void> {
  const { id, positionsTopic } = namesOf(name, mirror);
  const rights = { transactionalId: id, group: id, positionsTopic, create: true };
  const grants = gatewayGrants({ ...rights, topics: centralTopics() });
  await cluster.grant(cluster.state.users.gw.name, grants);
}

async function status(board: SmallBoard): Promise<AgentStatus> {
  return JSON.parse(await board.check('gatelog status --json')) as AgentStatus;
}

async function records(board: SmallBoard): Promise<number> {
  return (await status(board)).topics.reduce((sum, topic) => sum + topic.records, 0);
}

async function load(board: SmallBoard, flags: readonly (string | number)[]): Promise<void> {
  const where = ['--host', SmallBoard.address, '--port', 1883, '--payload', 150, '--topics', 200];
  const args = [LOAD, ...where, ...flags].map(String);
  const { stdout } = await board.outsider({ command: process.execPath, args });
  console.log('small board:', flags.join(' '), stdout.trim());
}

/** Of its group, in MB: what nobody can take back, and all of it at most so far. */
async function tellMemory(board: SmallBoard, phase: string): Promise<void> {
  const stat = await board.check(`cat ${GROUP}/memory.stat ${GROUP}/memory.peak`);
  const [, anonymous = 0] = /^anon (\d+)$/mu.exec(stat) ?? [];
  const [, peak = 0] = /^(\d+)$/mu.exec(stat) ?? [];
  const megabytes = (bytes: number | string): string => (Number(bytes) / 1e6).toFixed(0);
  console.log(`small board: ${phase}: ${megabytes(anonymous)} MB, all ${megabytes(peak)} MB`);
}

async function gatherAndDrain(board: SmallBoard, cluster: KafkaCluster): Promise<void> {
  await tellMemory(board, 'started');
  const steady = ['--rate', 1000, '--connections', 50, '--seconds', SECONDS];
  await load(board, steady);
  await tellMemory(board, 'steady, link down');
  while ((await records(board)) < BACKLOG) {
    await load(board, ['--connections', 20, '--window', 50, '--seconds', 10]);
  }
  await tellMemory(board, 'backlog gathered');
  const sockets = new Sockets();
  for (const { ports } of cluster.nodes) await sockets.lead(ports.proxy, ports.proxied);
  const ports = cluster.nodes.map((node) => String(node.ports.proxy));
  const args = [RELAY, sockets.folder, SmallBoard.outside, ...ports];
  const relay = await board.net.start({ command: process.execPath, args });
  try {
    await relay.waitFor(/relays/u);
    await load(board, steady);
    await tellMemory(board, 'draining beside it');
    const drained = async (): Promise<boolean> => {
      const [state] = (await status(board)).mirrors;
      return state?.state === 'live' && state.topics.length > 0 && state.lagRecords === 0;
    };
    await until(drained, LIMIT_MS, () => 'everything is in Kafka');
    await tellMemory(board, 'drained');
  } finally {
    await relay.kill();
    await sockets.close();
  }
}

test('the service drains a backlog within MemoryMax=160M on a board with 512 MB', async () => {
  const cluster = await startKafkaCluster();
  try {
    await grant(cluster);
    const { bytes } = await buildPackage({ architecture: 'amd64', level: 1 });
    const board = await SmallBoard.boot({
      suite: 'trixie',
      deb: bytes,
      config: config(cluster),
      dropIn: [`MemoryMax=${MEMORY}`],
      ports: cluster.nodes.map(({ ports }) => ports.proxy),
    });
    try {
      expect((await board.check(`cat ${GROUP}/memory.max`)).trim()).toBe(String(MEMORY));
      const { pid } = await status(board);
      await gatherAndDrain(board, cluster);
      expect(await board.check(`cat ${GROUP}/memory.events`)).toMatch(/^oom_kill 0$/mu);
      expect((await status(board)).pid).toBe(pid);
      const count = await records(board);
      const brokers = cluster.bootstrap('plaintext').join(',');
      const topics = centralTopics().flatMap((topic) => ['--topic', topic]);
      const flags = ['verify', '--kafka', brokers, ...topics, '--json'];
      const report = JSON.parse((await runGatelog(flags, LIMIT_MS)).stdout) as AuditReport;
      expect(report).toMatchObject({ clean: true, records: count });
    } finally {
      await board.remove();
    }
  } finally {
    await cluster.close();
  }
});
