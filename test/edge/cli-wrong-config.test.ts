import { mkdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CliFolder, publish } from '../support/cli.ts';

/** A configuration that was good when the agent began, and is not now: people come to look just then. */
let cli: CliFolder;
let file: string;
beforeEach(() => {
  cli = new CliFolder();
  file = path.join(cli.folder, 'gatelog.yaml');
});
afterEach(() => cli.remove());

const LOOKS = [['status'], ['topics'], ['gaps'], ['mirror', 'status'], ['consume', 'telemetry']];

async function broken(text: string): Promise<void> {
  writeFileSync(file, 'data: here\n');
  const { url } = await cli.startAgent(['--config', file]);
  await publish(url, [{ topic: 'a', payload: 'x' }]);
  writeFileSync(file, text);
}

test.each([
  ['a wrong option', 'data: here\nmqtt:\n  maxPacket: huge\n', 'mqtt.maxPacket'],
  ['no YAML at all', 'data: here\nmqtt: [\n', 'not valid YAML'],
])('%s keeps nobody from the agent that runs', async (_what, text, words) => {
  await broken(text);
  const where = path.join(cli.folder, 'here');
  for (const look of LOOKS) {
    const { code, stderr } = await cli.run([...look, '--config', file]);
    expect([look, code]).toEqual([look, 0]);
    expect(stderr).toContain(words);
    expect(stderr).toContain(`the data folder ${where} is looked at all the same\n`);
  }
  const { stdout } = await cli.run(['topics', '--config', file]);
  expect(stdout).toContain('telemetry');
  const examined = await cli.run(['doctor', '--config', file]);
  expect(examined.code).toBe(1);
  expect(examined.stdout).toMatch(
    /config +it is wrong; an agent that runs goes on with what it had/u,
  );
  expect(examined.stdout).toContain(words);
  expect(examined.stdout).toMatch(/agent +running/u);
});

test('the folder may stand in an included file, and the fault in another', async () => {
  const include = 'include: [conf.d/*.yaml]\n';
  const folder = path.join(cli.folder, 'conf.d');
  mkdirSync(folder);
  writeFileSync(path.join(folder, 'data.yaml'), 'data: ../here\n');
  writeFileSync(file, include);
  const { url } = await cli.startAgent(['--config', file]);
  await publish(url, [{ topic: 'a', payload: 'x' }]);
  writeFileSync(path.join(folder, 'more.yaml'), 'mqtt: [\n');
  const { code, stderr } = await cli.run(['status', '--config', 'gatelog.yaml']);
  expect(code).toBe(0);
  expect(stderr).toMatch(/conf\.d\/more\.yaml:2:1: not valid YAML/u);
  const where = path.join(cli.folder, 'here');
  expect(stderr).toContain(`the data folder ${where} is looked at all the same\n`);
});

test('where it does not say which folder, one says so', async () => {
  await broken('mqtt:\n  maxPacket: huge\n');
  const { code, stderr } = await cli.run(['status', '--config', file]);
  expect(code).toBe(78);
  expect(stderr).toMatch(/mqtt\.maxPacket.*\ngatelog: --data DIR asks the agent there/u);
  expect((await cli.run(['status', '--data', 'here', '--config', file])).code).toBe(0);
});
