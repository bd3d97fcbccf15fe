import { once } from 'node:events';
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { AuditReport } from '../../src/mirror/audit.ts';
import { seededRandom } from '../../src/random.ts';
import { systemClock } from '../../src/time.ts';
import { parseDuration } from '../../src/units.ts';
import { anonymousKiB } from '../bench/memory-watch.ts';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { agentStatus } from '../support/hunt/control.ts';
import { Gateway } from '../support/hunt/gateway.ts';
import { inWorkFolder, seedOfRun } from '../support/hunt/work-folder.ts';
import { startKafkaCluster } from '../support/kafka/cluster.ts';
import { type KafkaLink, openKafkaLink } from '../support/kafka/link.ts';

/**
 * `npm run test:soak`: a link that comes and goes under a steady load. GATELOG_SOAK says for how long
 * (default 1h), GATELOG_RATE how many messages a second (default 1000).
 */
const FOR_MS = parseDuration(process.env['GATELOG_SOAK'] ?? '1h') ?? 3_600_000;
const RATE = Number(process.env['GATELOG_RATE'] ?? '1000');
const CATCH_UP_MS = 900_000;
/** What is not settled yet at the start says nothing of a slope. */
const WARM_SHARE = 0.25;
const LOAD = join(import.meta.dirname, '../support/mqtt-load.ts');

interface Sample {
  readonly atMs: number;
  readonly rssAnonKiB: number;
}

/** KiB an hour, by least squares. */
function slopeOf(samples: readonly Sample[]): number {
  const mean = (of: (sample: Sample) => number): number =>
    samples.reduce((sum, sample) => sum + of(sample), 0) / samples.length;
  const [x, y] = [mean(({ atMs }) => atMs), mean(({ rssAnonKiB }) => rssAnonKiB)];
  const cross = samples.reduce((sum, one) => sum + (one.atMs - x) * (one.rssAnonKiB - y), 0);
  const square = samples.reduce((sum, one) => sum + (one.atMs - x) ** 2, 0);
  return (cross / square) * 3_600_000;
}

/** Up for a while, then away in one of the ways of links, until `signal` aborts. */
async function flap(link: KafkaLink, seed: number, signal: AbortSignal): Promise<number> {
  const random = seededRandom(seed);
  let outages = 0;
  while (!signal.aborted) {
    await systemClock.sleep(2000 + random.next() * 28_000, signal);
    if (signal.aborted) break;
    outages++;
    const kind = Math.floor(random.next() * 4);
    if (kind === 0) link.resetAll();
    else if (kind === 1) link.setShape({ bytesPerSecond: 32_768, latencyMs: 300 });
    else await link.setMode(kind === 2 ? 'silent' : 'refuse');
    await systemClock.sleep(500 + random.next() * 15_000, signal);
    link.setShape({});
    await link.setMode('open');
  }
  return outages;
}

async function watchMemory(pid: number, signal: AbortSignal): Promise<Sample[]> {
  const samples: Sample[] = [];
  const begunMs = systemClock.monotonicMs();
  while (!signal.aborted) {
    samples.push({ atMs: systemClock.monotonicMs() - begunMs, rssAnonKiB: anonymousKiB(pid) });
    await systemClock.sleep(Math.min(5000, FOR_MS / 100), signal);
  }
  return samples;
}

async function load(port: number): Promise<number> {
  const flags = ['--port', port, '--rate', RATE, '--seconds', Math.round(FOR_MS / 1000)];
  const child = spawn(process.execPath, [LOAD, ...flags.map(String)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let said = '';
  child.stdout.on('data', (chunk: Buffer) => {
    said += chunk.toString('utf8');
  });
  const [code] = (await once(child, 'close')) as [number | null];
  expect(code).toBe(0);
  return (JSON.parse(said) as { readonly messages: number }).messages;
}

test(
  `a link that flaps, ${RATE} messages/s: nothing lost, memory flat`,
  async () => {
    const seed = seedOfRun();
    console.log(`soak: GATELOG_SEED=${seed} replays the outages`);
    const cluster = await startKafkaCluster();
    const link = await openKafkaLink(cluster);
    try {
      await inWorkFolder('soak', async (folder) => {
        const name = `soak-${process.pid}`;
        const gateway = await Gateway.make({ folder, name, cluster, listener: 'proxied' });
        await gateway.grant(cluster);
        const agent = await gateway.start();
        try {
          await gateway.ready();
          const over = new AbortController();
          const outages = flap(link, seed, over.signal);
          const memory = watchMemory(agent.pid, over.signal);
          const acknowledged = await load(gateway.port);
          over.abort();
          await gateway.mirrored(CATCH_UP_MS);
          const samples = await memory;
          const late = samples.filter(({ atMs }) => atMs > FOR_MS * WARM_SHARE);
          const { topics } = await agentStatus(gateway.data);
          const records = topics.reduce((sum, topic) => sum + topic.records, 0);
          const brokers = cluster.bootstrap('plaintext').join(',');
          const central = gateway.centralTopics().flatMap((topic) => ['--topic', topic]);
          const flags = ['verify', '--kafka', brokers, ...central, '--json'];
          const { code, stdout } = await runGatelog(flags, CATCH_UP_MS);
          const report = JSON.parse(stdout) as AuditReport;
          console.log('soak:', {
            minutes: FOR_MS / 60_000,
            acknowledged,
            records,
            central: report.records,
            outages: await outages,
            peakMiB: Math.max(...samples.map(({ rssAnonKiB }) => rssAnonKiB)) / 1024,
            slopeMiBAnHour: slopeOf(late) / 1024,
          });
          expect({ code, clean: report.clean }).toEqual({ code: 0, clean: true });
          expect(report.records).toBeGreaterThanOrEqual(acknowledged);
        } finally {
          await gateway.end();
        }
      });
    } finally {
      await link.close();
      await cluster.close();
    }
  },
  FOR_MS + 2 * CATCH_UP_MS,
);
