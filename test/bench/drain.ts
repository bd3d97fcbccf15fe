import { cpSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import NODE_ENVIRONMENT from '../../deploy/node-env.json' with { type: 'json' };
import NODE_FLAGS from '../../deploy/node-flags.json' with { type: 'json' };
import { openCluster } from '../support/kafka/cluster.ts';
import { ControlClient } from '../../src/admin/control-client.ts';
import { freePorts } from '../support/ports.ts';
import { runChecked, startProcess } from '../support/process.ts';
import { MemoryWatch } from './memory-watch.ts';

/**
 * npm run bench:drain [-- ROUNDS [RECORDS [COMPRESSION]]]: a backlog of a million records to Kafka,
 * exactly once, through the product's own store and mirror, against `kcat -P -X acks=all` of the
 * same keys and payloads from a file with the same compression, in turns on one cluster, after a
 * round that only warms the brokers (they begin cold, and gatelog goes first). Goal: at
 * least 0.7 of kcat's rate with zstd. Then the whole built agent drains it, and its anonymous memory
 * is watched: at most 140 MB at peak.
 */
const ROUNDS = Number(process.argv[2] ?? 4);
const RECORDS = Number(process.argv[3] ?? 1_000_000);
const CODEC = process.argv[4] ?? 'zstd';
const HERE = import.meta.dirname;
const ROOT = join(HERE, '../..');
/** Inside the checkout, so that libraries are found. */
const BUILT = join(ROOT, '.cache/bench');

interface Drained {
  readonly records: number;
  readonly ms: number;
  readonly cpuMs: number;
  readonly peakKiB: number;
  readonly idleKiB: number;
}

await build();
const folder = mkdtempSync(join(tmpdir(), 'gatelog-drain-'));
const data = join(folder, 'data');
const payloads = join(folder, 'payloads');
const cluster = await openCluster({ heapMiB: 512 });
try {
  const fill = [join(HERE, 'drain-store.ts'), data, String(RECORDS), payloads];
  await runChecked({ command: process.execPath, args: fill }, 300_000);
  const brokers = cluster.bootstrap('plaintext').join(',');
  const ratios: number[] = [];
  for (let round = 0; round <= ROUNDS; round++) {
    const id = `drain-${process.pid}-${round}`;
    const ours = await drain(brokers, id);
    const kcatMs = await produceWithKcat(brokers, `${id}-kcat`);
    const ratio = kcatMs / ours.ms;
    if (round > 0) ratios.push(ratio);
    console.log(
      `${round === 0 ? 'warm-up, not counted' : `round ${round}`}: gatelog ${rate(ours.ms)} (CPU ${(ours.cpuMs / 1000).toFixed(2)} s, RssAnon ${mb(ours.idleKiB)} to ${mb(ours.peakKiB)} at peak), kcat ${rate(kcatMs)}, ratio ${ratio.toFixed(2)}`,
    );
  }
  const sorted = ratios.toSorted((a, b) => a - b);
  const below = sorted[Math.ceil(ROUNDS / 2) - 1] ?? 0;
  const middle = (below + (sorted[Math.floor(ROUNDS / 2)] ?? 0)) / 2;
  console.log(`median ratio ${middle.toFixed(2)} (goal >= 0.70), ${CODEC}, ${RECORDS} records`);
  for (let round = 1; round <= ROUNDS; round++) {
    const peakKiB = await agentPeakKiB(brokers, `agent-${process.pid}-${round}`);
    console.log(`agent, round ${round}: RssAnon ${mb(peakKiB)} at peak (goal <= 140)`);
  }
} finally {
  await cluster.close();
  rmSync(folder, { recursive: true, force: true });
}

/** Compiled as a release is: Node's type stripping alone takes 20 MB of memory. */
async function build(): Promise<void> {
  mkdirSync(BUILT, { recursive: true });
  const options = {
    noEmit: false,
    declaration: false,
    isolatedDeclarations: false,
    rootDir: ROOT,
    outDir: join(BUILT, 'js'),
  };
  const config = {
    extends: join(ROOT, 'tsconfig.json'),
    compilerOptions: options,
    files: [join(HERE, 'drain-agent.ts')],
    include: [],
  };
  const file = join(BUILT, 'tsconfig.json');
  writeFileSync(file, JSON.stringify(config));
  await runChecked({ command: join(ROOT, 'node_modules/.bin/tsc'), args: ['-p', file] });
}

function rate(ms: number): string {
  return `${Math.round(RECORDS / ms)} k records/s (${(ms / 1000).toFixed(2)} s)`;
}

function mb(kib: number): string {
  return `${Math.round(kib / 1024)} MB`;
}

async function drain(brokers: string, id: string): Promise<Drained> {
  await cluster.createTopic(id, { partitions: 8 });
  const agent = join(BUILT, 'js/test/bench/drain-agent.js');
  const args = [...NODE_FLAGS, agent, data, brokers, id, id, CODEC];
  const { stdout } = await runChecked(
    { command: process.execPath, args, env: NODE_ENVIRONMENT },
    300_000,
  );
  const drained = JSON.parse(stdout) as Drained;
  if (drained.records !== RECORDS) throw new Error(`drained ${drained.records} of ${RECORDS}`);
  return drained;
}

/** What `gatelog run` takes until its mirror is through; by default it compresses with zstd. */
async function agentPeakKiB(brokers: string, gateway: string): Promise<number> {
  const [port = 0] = await freePorts(1);
  const own = join(folder, gateway); // An agent's mirror begins where the folder says it ended.
  cpSync(data, own, { recursive: true });
  const where = ['--data', own, '--mqtt', `mqtt://127.0.0.1:${port}`];
  const agent = await startProcess({
    command: join(ROOT, 'node_modules/.bin/gatelog'),
    args: ['run', ...where, '--gateway', gateway, '--kafka', brokers],
  });
  const memory = new MemoryWatch(agent.pid);
  await agent.waitFor(/is ready/u);
  const control = new ControlClient(own);
  for (let sent = 0; sent < RECORDS;) {
    await new Promise((resolve) => {
      setTimeout(resolve, 100);
    });
    sent = (await control.status()).mirrors[0]?.recordsSent ?? 0;
  }
  await agent.stop();
  rmSync(own, { recursive: true });
  return memory.stop();
}

async function produceWithKcat(brokers: string, topic: string): Promise<number> {
  await cluster.createTopic(topic, { partitions: 8 });
  const how = ['-z', CODEC, '-X', 'acks=all', '-K', '\t', '-l', payloads];
  const start = performance.now();
  await runChecked({ command: 'kcat', args: ['-P', '-b', brokers, '-t', topic, ...how] }, 300_000);
  return performance.now() - start;
}
