import { cpSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import type { GapJson } from '../../src/loss.ts';
import { PairAgent } from '../support/edge-and-centre.ts';
import { runGatelog } from '../support/hunt/agent-process.ts';
import { agentStatus } from '../support/hunt/control.ts';
import { until } from '../support/hunt/wait.ts';
import { inWorkFolder } from '../support/hunt/work-folder.ts';
import { freePorts } from '../support/ports.ts';
import { startTcpProxy, type TcpProxy } from '../support/tcp-proxy.ts';

/** Two real agents: an edge that gives offsets anew, and one that only repeats itself. */
interface Pair {
  readonly edge: PairAgent;
  readonly centre: PairAgent;
  readonly link: TcpProxy;
}

async function withPair(name: string, task: (pair: Pair, folder: string) => Promise<void>) {
  await inWorkFolder(name, async (folder) => {
    const [port = 0, far = 0] = await freePorts(2);
    const link = await startTcpProxy({ targetPort: far });
    const listen = (at: number): string => `mqtt: { listen: ["mqtt://127.0.0.1:${at}"]`;
    const upstream = `mqtt: { url: "mqtt://127.0.0.1:${link.port}", ackTimeout: 2s }`;
    const centre = new PairAgent(folder, 'centre', far, `${listen(far)}, central: true }\n`);
    const edge = new PairAgent(
      folder,
      'edge',
      port,
      `${listen(port)} }\nmirrors: { up: { topics: [telemetry], ${upstream} } }\n`,
    );
    try {
      await centre.start();
      await task({ edge, centre, link }, folder);
    } finally {
      await edge.end();
      await centre.end();
      await link.close();
    }
  });
}

function lines(name: string, count: number): string[] {
  return Array.from({ length: count }, (_, index) => `${name}-${index}`);
}

async function steer(edge: PairAgent, ...args: readonly string[]): Promise<void> {
  const [action = '', ...rest] = args;
  const { code, stderr } = await runGatelog(['mirror', action, 'up', ...rest, '--data', edge.data]);
  expect(stderr).toBe('');
  expect(code).toBe(0);
}

/** 70 records arrive at the centre; then the folder is what it was after 40. The edge is stopped. */
async function loseTheEnd(edge: PairAgent, folder: string): Promise<void> {
  await edge.start();
  await edge.publish(lines('before', 40));
  await edge.mirrored();
  await edge.agent.stop();
  cpSync(edge.data, join(folder, 'copy'), { recursive: true });

  await edge.start();
  await edge.publish(lines('lost', 30));
  await edge.mirrored();
  await edge.agent.stop();
  rmSync(edge.data, { recursive: true });
  cpSync(join(folder, 'copy'), edge.data, { recursive: true });
}

test('an older copy of the folder: the mirror halts, and a person has it go on without a silent loss', async () => {
  await withPair('lost-end', async ({ edge, centre, link }, folder) => {
    await loseTheEnd(edge, folder);
    // Without a link first, and killed: what was lost is not forgotten by it.
    await link.setMode('refuse');
    await edge.start();
    await edge.publish(lines('anew', 9));
    await edge.agent.kill();
    await edge.start();
    await link.setMode('open');
    const { reason } = await edge.mirrorIs(({ state }) => state === 'halted');
    expect(reason).toMatch(/other records of gateway 'edge' under telemetry\/0 40 to 69/u);
    expect(reason).toMatch(/name of its own .*--adopt.* seek telemetry\/0 .*resume/u);
    expect(await centre.values()).toEqual([...lines('before', 40), ...lines('lost', 30)]);

    // Neither a restart nor new records beyond what the centre has make it forget, nor a resume.
    await edge.publish(lines('more', 40));
    await edge.agent.stop();
    await edge.start();
    await edge.mirrorIs(({ state }) => state === 'halted');
    await steer(edge, 'resume');
    await edge.mirrorIs(({ state }) => state === 'halted');
    expect(await centre.values()).toHaveLength(70);

    await steer(edge, 'seek', '--topic', 'telemetry', '--to', '40');
    await steer(edge, 'resume');
    await edge.mirrored();
    const more = lines('more', 40);
    expect(await centre.values()).toEqual([
      ...lines('before', 40),
      ...lines('lost', 30),
      ...more.slice(21),
    ]);
    expect(await edge.values('_quarantine')).toEqual([...lines('anew', 9), ...more.slice(0, 21)]);
    const { stdout } = await runGatelog(['gaps', '--data', edge.data, '--json']);
    const gaps = stdout.trim().split('\n');
    expect(gaps.map((line) => JSON.parse(line) as GapJson)).toMatchObject([
      { topic: 'telemetry', firstOffset: 40, lastOffset: 69, records: 30, reason: 'rejected' },
    ]);
    const verified = await runGatelog(['verify', '--log', centre.data, '--config', edge.config]);
    expect(verified.code).toBe(0);
    // It is over: another life begins as any.
    await edge.agent.kill();
    await edge.start();
    await edge.publish(lines('after', 5));
    await edge.mirrored();
    expect((await centre.values()).slice(-5)).toEqual(lines('after', 5));
  });
});

test('under a name of its own the gateway sends it all', async () => {
  await withPair('renamed', async ({ edge, centre }, folder) => {
    await loseTheEnd(edge, folder);
    await edge.start();
    await edge.publish(lines('anew', 9));
    await edge.mirrorIs(({ state }) => state === 'halted');
    await edge.agent.stop();
    await edge.start('--gateway', 'edge-2', '--adopt');
    await edge.mirrored();
    expect(await centre.values()).toEqual([
      ...lines('before', 40),
      ...lines('lost', 30),
      ...lines('anew', 9),
    ]);
  });
});

/** Cuts the link when more has come to the centre, whose answers are still on their way. */
async function cutBehind({ edge, centre, link }: Pair): Promise<void> {
  const received = async (): Promise<number> =>
    (await agentStatus(centre.data)).ingest?.received ?? 0;
  const before = await received();
  await until(
    async () =>
      (await received()) > before || (await agentStatus(edge.data)).mirrors[0]?.lagRecords === 0,
    60_000,
    () => 'something new at the centre',
  );
  link.resetAll();
}

test('an edge that is killed, and whose link is cut, while its records are on their way never halts', async () => {
  await withPair('repeats', async (pair) => {
    const { edge, centre, link } = pair;
    link.setShape({ latencyMs: 100 });
    const sent: string[] = [];
    for (let life = 0; life < 2; life++) {
      await link.setMode('refuse');
      await edge.start();
      const batch = lines(`life${life}`, 3000);
      await edge.publish(batch);
      sent.push(...batch);
      await link.setMode('open');
      for (let cut = 0; cut < 3; cut++) await cutBehind(pair);
      await edge.agent.kill();
    }
    await edge.start();
    await edge.mirrored();
    expect(await centre.values()).toEqual(sent);
    const { ingest } = await agentStatus(centre.data);
    expect(ingest?.appended.fsync).toBeGreaterThan(sent.length);
    const verified = await runGatelog(['verify', '--log', centre.data, '--config', edge.config]);
    expect(verified.code).toBe(0);
  });
});
