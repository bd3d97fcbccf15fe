import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { open } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { freePorts } from '../support/ports.ts';
import { anonymousKiB, MemoryWatch } from './memory-watch.ts';
import { runChecked, type Running, runProcess, startProcess } from '../support/process.ts';

/**
 * npm run bench:ingest [-- ROUNDS [SECONDS]]: the numbers of the device side.
 *
 * 1. Durable ingest against Mosquitto with persistence off and no subscriber, in turns, by the same
 *    load: QoS 1, 50 connections, 100 in flight each, 120 B of JSON, 1,000 MQTT topics over 8
 *    partitions, every record synced before its acknowledgement.
 * 2. Memory of the agent process while that goes on (RssAnon, sampled), and idle.
 * 3. Acknowledgement latency at 1,000 messages/s from 50 clients against a bare fdatasync of the
 *    same number of bytes on the same disk.
 */
const HERE = dirname(fileURLToPath(import.meta.url));
const ROOT = join(HERE, '../..');
const LOAD = join(HERE, '../support/mqtt-load.ts');
const ROUNDS = Number(process.argv[2] ?? 4);
const SECONDS = Number(process.argv[3] ?? 4);
const folder = mkdtempSync(join(tmpdir(), 'gatelog-bench-'));

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

async function load<Result>(port: number, ...args: string[]): Promise<Result> {
  const { stdout } = await runChecked({
    command: process.execPath,
    args: [LOAD, '--port', String(port), '--seconds', String(SECONDS), ...args],
  });
  return JSON.parse(stdout) as Result;
}

/** The built product with its defaults, on a folder of its own. */
async function startAgent(name: string): Promise<{ agent: Running; port: number }> {
  const [port = 0] = await freePorts(1);
  const listen = `mqtt://127.0.0.1:${port}`;
  const agent = await startProcess({
    command: join(ROOT, 'node_modules/.bin/gatelog'),
    args: ['run', '--data', join(folder, name), '--mqtt', listen],
  });
  await agent.waitFor(new RegExp(`127\\.0\\.0\\.1:${port}`, 'u'));
  return { agent, port };
}

async function startMosquitto(): Promise<{ broker: Running; port: number }> {
  const [port = 0] = await freePorts(1);
  const config = join(folder, 'mosquitto.conf');
  writeFileSync(
    config,
    `listener ${port} 127.0.0.1\nallow_anonymous true\npersistence false\n` +
      'max_inflight_messages 0\nset_tcp_nodelay true\n',
  );
  const broker = await startProcess({ command: '/usr/sbin/mosquitto', args: ['-c', config] });
  await broker.waitFor(/mosquitto version (\S+) running/u);
  return { broker, port };
}

async function throughput(): Promise<void> {
  const ratios: number[] = [];
  let peak = 0;
  for (let round = 1; round <= ROUNDS; round++) {
    const { agent, port } = await startAgent(`round-${round}`);
    const memory = new MemoryWatch(agent.pid);
    const ours = await load<{ rate: number }>(port);
    peak = Math.max(peak, memory.stop());
    await agent.stop();
    rmSync(join(folder, `round-${round}`), { recursive: true, force: true });
    const mosquitto = await startMosquitto();
    const theirs = await load<{ rate: number }>(mosquitto.port);
    await mosquitto.broker.stop();
    ratios.push(ours.rate / theirs.rate);
    say(
      `round ${round}: gatelog ${ours.rate} msg/s, Mosquitto ${theirs.rate} msg/s, ` +
        `ratio ${(ours.rate / theirs.rate).toFixed(2)}`,
    );
  }
  ratios.sort((left, right) => left - right);
  const median = ratios[Math.floor((ratios.length - 1) / 2)] ?? 0;
  say(`ratio: median ${median.toFixed(2)}, lowest ${(ratios[0] ?? 0).toFixed(2)} (goal >= 1.0)`);
  say(`agent RssAnon at peak: ${(peak / 1024).toFixed(0)} MB (goal <= 140)`);
}

interface Latency {
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

/** Appends and syncs, one after the other: what the disk itself takes. */
async function bareSync(bytes: number): Promise<Latency> {
  const file = await open(join(folder, 'bare'), 'a');
  const record = Buffer.alloc(bytes, 'x');
  const times: number[] = [];
  const until = performance.now() + SECONDS * 1000;
  while (performance.now() < until) {
    const from = performance.now();
    await file.write(record);
    await file.datasync();
    times.push(performance.now() - from);
  }
  await file.close();
  times.sort((left, right) => left - right);
  const at = (part: number): number => times[Math.floor(part * (times.length - 1))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1) };
}

async function latency(): Promise<void> {
  const { agent, port } = await startAgent('latency');
  await new Promise((resolve) => {
    setTimeout(resolve, 3000);
  });
  say(`agent RssAnon idle: ${(anonymousKiB(agent.pid) / 1024).toFixed(0)} MB (goal <= 40)`);
  const bare = await bareSync(220);
  const acks = await load<Latency & { messages: number }>(port, '--rate', '1000');
  await agent.stop();
  const show = ({ p50, p99, max }: Latency): string =>
    `p50 ${p50.toFixed(2)} ms, p99 ${p99.toFixed(2)} ms, max ${max.toFixed(1)} ms`;
  say(`bare fdatasync of 220 B: ${show(bare)}`);
  say(`acknowledgement at 1,000 msg/s from 50 clients (${acks.messages}): ${show(acks)}`);
  say(`p50 above the bare sync: ${(acks.p50 - bare.p50).toFixed(2)} ms (goal <= 2)`);
}

try {
  const built = await runProcess({
    command: join(ROOT, 'node_modules/.bin/tsc'),
    args: ['-p', join(ROOT, 'tsconfig.build.json')],
  });
  if (built.code !== 0) say(`built with errors:\n${built.stdout}`);
  await latency();
  await throughput();
} finally {
  rmSync(folder, { recursive: true, force: true });
}
