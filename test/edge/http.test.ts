import { copyFileSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { connectAsync } from 'mqtt';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { AgentEvent } from '../../src/admin/event-book.ts';
import type { AgentStatus } from '../../src/admin/status.ts';
import { toolFile } from '../setup/tools.mjs';
import { CliFolder, publish } from '../support/cli.ts';
import { blocksOf } from '../support/docs/blocks.ts';
import { EventReader } from '../support/event-reader.ts';
import { ADMIN_TOKEN } from '../support/http-rig.ts';
import { runProcess } from '../support/process.ts';

/** A whole agent over HTTP: the same as the command line says. */
const ROOT = path.join(import.meta.dirname, '../..');
const CONFIG = `
gateway: gw
topics: {plant: {partitions: 2}, rest: {}}
routes: [{match: "plant/#", topic: plant}, {match: "rest/#", topic: rest}]
http: {listen: ["http://127.0.0.1:0"], adminToken: ${ADMIN_TOKEN}}
mirrors: {central: {kafka: {brokers: ["127.0.0.1:1"]}}}
`;

let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

async function startAgent(config: string): Promise<{ mqtt: string; http: string }> {
  writeFileSync(path.join(cli.folder, 'g.yaml'), config);
  // An address on the command line would take the place of the file's.
  const agent = await cli.start(['run', '--config', 'g.yaml', '--mqtt', 'mqtt://127.0.0.1:0']);
  const [, http = ''] = await agent.waitFor(/"http\.listening","listeners":\["(http:[^"]+)"/u);
  const [, mqtt = ''] = await agent.waitFor(/"listeners":\["(mqtt:[^"]+)"/u);
  return { mqtt, http };
}

/** Samples by their name and labels, as they stand in the text. */
function samplesIn(text: string): Map<string, number> {
  const lines = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  return new Map(
    lines.map((line): [string, number] => {
      const at = line.lastIndexOf(' ');
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}

async function agentStatus(): Promise<AgentStatus> {
  const { stdout } = await cli.run(['status', '--config', 'g.yaml', '--json']);
  return JSON.parse(stdout) as AgentStatus;
}

const PLANT = Array.from({ length: 40 }, (_, at) => ({
  topic: `plant/${at}`,
  payload: 'x'.repeat(at),
}));

test('metrics, the API and the command line say the same of a running agent', async () => {
  const { mqtt, http } = await startAgent(CONFIG);
  await publish(mqtt, [
    ...PLANT,
    { topic: 'rest/a', payload: 'r' },
    { topic: 'none', payload: '' },
  ]);
  const pause = await fetch(`${http}/api/v1/mirrors/central/pause`, {
    method: 'POST',
    headers: { authorization: `Bearer ${ADMIN_TOKEN}`, 'content-type': 'application/json' },
    body: '{}',
  });
  expect(pause.status).toBe(200);
  await expect.poll(async () => (await agentStatus()).mirrors[0]?.state).toBe('paused');
  const client = await connectAsync(mqtt, { clientId: 'press-1', protocolVersion: 5 });

  const text = await (await fetch(`${http}/metrics`)).text();
  const status = await agentStatus();
  const { ingest, store, mirrors, topics } = status;
  const mirror = mirrors[0];
  const plant = topics.find(({ name }) => name === 'plant');
  const sumOf = (field: 'startOffset' | 'endOffset'): number =>
    plant?.partitions.reduce((sum, partition) => sum + partition[field], 0) ?? -1;
  const expected = {
    gatelog_ready: 1,
    gatelog_degraded: 0,
    gatelog_received_messages_total: ingest?.received,
    gatelog_received_bytes_total: ingest?.receivedBytes,
    'gatelog_appended_messages_total{durability="fsync"}': ingest?.appended.fsync,
    gatelog_unrouted_messages_total: ingest?.unrouted,
    gatelog_connections: ingest?.connections,
    gatelog_connections_opened_total: ingest?.connectionsTotal,
    gatelog_log_records_total: store?.recordsAppended,
    gatelog_log_bytes_total: store?.bytesAppended,
    gatelog_log_commits_total: store?.commits,
    gatelog_commit_duration_seconds_count: store?.commitLatency.counts.reduce((a, b) => a + b),
    'gatelog_topic_records{topic="plant"}': plant?.records,
    'gatelog_topic_end_offset{topic="plant"}': sumOf('endOffset'),
    'gatelog_topic_start_offset{topic="plant"}': sumOf('startOffset'),
    'gatelog_mirror_state{mirror="central",state="paused"}': 1,
    'gatelog_mirror_state{mirror="central",state="live"}': 0,
    'gatelog_mirror_lag_records{mirror="central"}': mirror?.lagRecords,
    'gatelog_mirror_topic_lag_records{mirror="central",topic="plant"}': 40,
    'gatelog_mirror_failures_total{mirror="central"}': mirror?.failures,
    'gatelog_lost_records_total{reason="corruption"}': store?.losses.corruption.records,
    'gatelog_disk_step{state="ok"}': store?.disk.step === 'ok' ? 1 : 0,
  };
  const samples = samplesIn(text);
  expect(
    Object.fromEntries(Object.keys(expected).map((name) => [name, samples.get(name)])),
  ).toEqual(expected);
  expect(expected).toMatchObject({
    gatelog_received_messages_total: 42,
    gatelog_log_records_total: 41,
    gatelog_unrouted_messages_total: 1,
    gatelog_connections: 1,
  });
  expect(samples.get('gatelog_commit_duration_seconds_bucket{le="+Inf"}')).toBeGreaterThan(0);
  expect(samples.get('gatelog_append_wait_seconds_sum')).toBeGreaterThan(0);
  expect(samples.get('process_resident_memory_bytes')).toBeGreaterThan(1e7);

  const promtool = toolFile('promtool');
  const checked = await runProcess({ command: promtool, args: ['check', 'metrics'], input: text });
  expect(checked).toMatchObject({ code: 0, stdout: '', stderr: '' });

  const got = async (at: string): Promise<unknown> => (await fetch(`${http}/api/v1/${at}`)).json();
  // What goes on by itself, and what is measured anew.
  const { memory, uptimeMs, clock, wear, store: _, mirrors: __, ...standing } = await agentStatus();
  expect(await got('status')).toMatchObject(standing);
  expect([memory, uptimeMs, clock, wear]).not.toContain(undefined);
  expect(await got('topics')).toEqual({ topics });
  expect(await got('clients')).toMatchObject({
    total: 1,
    clients: [{ client: 'press-1', user: null, protocol: '5', from: expect.any(String) }],
  });
  await client.endAsync();

  const records = await fetch(`${http}/api/v1/topics/plant/records`);
  const consumed = await cli.run(['consume', 'plant', '--config', 'g.yaml', '--json']);
  expect(await records.text()).toBe(consumed.stdout);
  const { events } = (await got('events')) as { events: AgentEvent[] };
  expect(events.map(({ event }) => event)).toContain('admin');
});

test('the alert rules are such, and say what they are to say', async () => {
  const command = toolFile('promtool');
  const rules = path.join(ROOT, 'deploy/prometheus/gatelog-alerts.yml');
  expect(await runProcess({ command, args: ['check', 'rules', rules] })).toMatchObject({ code: 0 });
  const cases = path.join(ROOT, 'test/support/gatelog-alerts-cases.yml');
  const tested = await runProcess({ command, args: ['test', 'rules', cases] });
  expect(tested).toMatchObject({ code: 0, stdout: expect.stringContaining('SUCCESS') });
});

test('Prometheus reads what docs/http.md shows for it', async () => {
  const shown = blocksOf('docs/http.md').find(({ text }) => text.includes('scrape_configs'));
  const place = (name: string): string => path.join(cli.folder, name);
  writeFileSync(place('gatelog-token'), ADMIN_TOKEN);
  copyFileSync(
    path.join(ROOT, 'deploy/prometheus/gatelog-alerts.yml'),
    place('gatelog-alerts.yml'),
  );
  const text = shown?.text.replace('/etc/prometheus', cli.folder) ?? '';
  writeFileSync(place('prometheus.yml'), text);
  const args = ['check', 'config', place('prometheus.yml')];
  expect(await runProcess({ command: toolFile('promtool'), args })).toMatchObject({
    code: 0,
    stdout: expect.stringMatching(/is valid prometheus config file[^]*rules found/u),
  });
});

describe('what happens', () => {
  test('is told as it happens: a device’s message is in the next status', async () => {
    const { mqtt, http } = await startAgent(CONFIG);
    const events = await EventReader.open(`${http}/api/v1/events?after=0`);
    expect(await events.next('event')).toMatchObject({ id: 1 });
    const first = (await events.next('status')) as AgentStatus;
    expect(first.ingest?.received).toBe(0);
    await publish(mqtt, [{ topic: 'plant/1', payload: 'x' }]);
    const received = async (): Promise<number | undefined> =>
      ((await events.next('status')) as AgentStatus).ingest?.received;
    await expect.poll(received).toBe(1);
    events.close();
  });
});

test('records are as closed on this machine as they are to subscribers, figures are not', async () => {
  const rules = 'mqtt: {acl: [{subscribe: ["plant/open/#"], publish: ["#"]}]}\n';
  const { mqtt, http } = await startAgent(`${CONFIG}${rules}`);
  await publish(mqtt, [{ topic: 'plant/1', payload: 'x' }]);
  const statusOf = async (at: string, headers: Record<string, string>): Promise<number> =>
    (await fetch(`${http}/api/v1/${at}`, { headers })).status;
  expect(await statusOf('topics/plant/records', {})).toBe(401);
  expect(await statusOf('topics', {})).toBe(200);
  const token = { authorization: `Bearer ${ADMIN_TOKEN}` };
  expect(await statusOf('topics/plant/records', token)).toBe(200);
});

test('an agent whose port is taken serves devices, says it, and is asked on the machine', async () => {
  const { http } = await startAgent(CONFIG);
  const second = new CliFolder();
  try {
    const { agent, url } = await second.startAgent(['--http', http]);
    await agent.waitFor(/"event":"http\.unavailable"/u);
    await publish(url, [{ topic: 'a', payload: 'x' }]);
    const { stdout } = await second.run(['status']);
    expect(stdout).toContain(`http      can't listen on ${http}: another program has this port`);
  } finally {
    await second.remove();
  }
});
