import { chmodSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder, publish } from '../support/cli.ts';

/** `gatelog doctor` on a healthy folder, beside its agent, and on one that was damaged. */
let cli: CliFolder;
beforeEach(() => {
  cli = new CliFolder();
});
afterEach(() => cli.remove());

async function filled(): Promise<void> {
  const { agent, url } = await cli.startAgent(['--gateway', 'press-1']);
  await publish(url, [{ topic: 'a', payload: 'x' }]);
  await agent.stop();
}

const everything = (): string[] =>
  readdirSync(cli.data, { recursive: true, encoding: 'utf8' }).toSorted();

test('a healthy folder, stopped: 0, and not a file of it is touched', async () => {
  await filled();
  const before = everything();
  const report = await cli.run(['doctor']);
  expect(report).toMatchObject({ code: 0, stderr: '' });
  expect(report.stdout).toMatch(/identity {6}gateway press-1, incarnation [0-9a-f]{16}, format 2/u);
  expect(report.stdout).toMatch(/: healthy as far as it was looked at\n$/u);
  expect(everything()).toEqual(before);
});

test('beside an agent', async () => {
  await cli.startAgent(['--gateway', 'press-1']);
  const report = await cli.run(['doctor', '--json']);
  expect(report.code).toBe(0);
  expect(JSON.parse(report.stdout)).toMatchObject({
    data: cli.data,
    agent: { gateway: 'press-1', degraded: null },
    findings: [],
    look: { aside: [], segments: [{ first: 1 }] },
  });
});

test('a damaged folder: before the next start, and after it what was set aside and lost', async () => {
  await filled();
  const segment = path.join(cli.data, 'log', '0000000000000001');
  rmSync(segment, { recursive: true });
  writeFileSync(segment, 'a file');
  const before = await cli.run(['doctor']);
  expect(before.code).toBe(1);
  expect(before.stdout).toContain('! the segment that begins with commit 1 is missing');
  const { agent, url } = await cli.startAgent(['--gateway', 'press-1']);
  await publish(url, [{ topic: 'a', payload: 'y' }]);
  await agent.stop();
  const after = await cli.run(['doctor']);
  expect(after.code).toBe(1);
  expect(after.stdout).toMatch(/quarantine {4}0001-segment-1, 6 B, .*: it is no folder/u);
  expect(after.stdout).toContain('! its end was lost, and up to 1 record with it');
  const gaps = await cli.run(['gaps', '--json']);
  expect(JSON.parse(gaps.stdout)).toMatchObject({ firstOffset: 0, lastOffset: 0, records: 1 });
});

test('a damaged database: doctor tells what the next start repairs, and touches nothing', async () => {
  await filled();
  rmSync(path.join(cli.data, 'log', '0000000000000001', 'CURRENT'));
  rmSync(path.join(cli.data, 'state', 'CURRENT'));
  const before = everything();
  const report = await cli.run(['doctor']);
  expect(report.code).toBe(1);
  expect(report.stdout).toMatch(
    /! the segment that begins with commit 1 is damaged: CURRENT is missing .*; the next start repairs/u,
  );
  expect(report.stdout).toMatch(/! the state database: CURRENT is missing/u);
  expect(everything()).toEqual(before);
});

test('no folder at all, or a file', async () => {
  expect(await cli.run(['doctor', '--data', 'nowhere'])).toMatchObject({ code: 66 });
  writeFileSync(cli.data, 'a file');
  const told = await cli.run(['doctor']);
  expect(told.code).toBe(66);
  expect(told.stderr).toMatch(/^gatelog: \S+gatelog-data is a file, and no data folder; name it/u);
});

test('by a configuration, before the first start: what it names, who may read it, and the way upstream', async () => {
  const file = path.join(cli.folder, 'gatelog.yaml');
  const included = path.join(cli.folder, 'secret.yaml');
  writeFileSync(included, 'http: {token: hush-hush-hush-hush}\n', { mode: 0o644 });
  const mirrors =
    'include: ["secret*"]\nmirrors: {central: {kafka: {brokers: ["127.0.0.1:1"], sasl: {mechanism: PLAIN, username: u, password: hush}, tls: true}}}';
  writeFileSync(file, `gateway: gw-1\ndata: not/yet\n${mirrors}\n`, { mode: 0o644 });
  const report = await cli.run(['doctor', '--config', 'gatelog.yaml', '--json']);
  expect(report.code).toBe(1);
  expect(report.stdout).not.toContain('hush');
  const { findings, ways, machine } = JSON.parse(report.stdout) as Record<string, unknown>;
  expect(findings).toEqual([
    expect.stringMatching(/gatelog\.yaml holds secrets, and everybody .* chmod 600$/u),
    expect.stringMatching(/secret\.yaml holds secrets, and everybody .* chmod 600$/u),
    expect.stringMatching(/^connection: Kafka at 127\.0\.0\.1:1 .*nothing listens there/u),
  ]);
  expect(ways).toMatchObject({ central: [{ name: 'connection', state: 'failed' }] });
  expect(machine).toMatchObject({ node: process.version });
  for (const each of [file, included]) chmodSync(each, 0o600);
  const offline = await cli.run(['doctor', '--config', 'gatelog.yaml', '--offline']);
  expect(offline).toMatchObject({ code: 0, stderr: '' });
  expect(offline.stdout).toContain('there is no data folder yet; the first start makes it');
});
