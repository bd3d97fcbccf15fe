import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { startAgent } from '../../src/agent/agent.ts';
import { loadConfig } from '../../src/agent/config.ts';
import { seededRandom } from '../../src/random.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';

/** Records over HTTP, without a token, are for whom MQTT gives them to as well. */
let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'gatelog-open-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

async function statusOfRecords(mqtt: string): Promise<number> {
  const file = join(folder, 'gatelog.yaml');
  writeFileSync(
    file,
    `data: data\nhttp: {listen: ["http://127.0.0.1:0"]}\ntopics: {telemetry: {}}\nmqtt: {${mqtt}}\n`,
  );
  const { config } = loadConfig(file, { env: {}, workingFolder: folder });
  const agent = await startAgent(config, {
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    version: 'test',
  });
  const [url = ''] = (await agent.status()).http.listeners;
  const { status } = await fetch(`${url}/api/v1/topics/telemetry/records`);
  await agent.stop();
  return status;
}

test('where anybody on this machine may subscribe anybody may read', async () => {
  expect(await statusOfRecords('listen: ["mqtt://127.0.0.1:0"]')).toBe(200);
});

test('where only a group may open the socket it needs a token', async () => {
  expect(await statusOfRecords(`listen: ["unix://${folder}/mqtt.sock"]`)).toBe(401);
});

test('where only certificates open the door it needs a token', async () => {
  const { cert, key } = await makeServerCertificate(folder, 'server', 9);
  const tls = `tls: {cert: ${cert}, key: ${key}, ca: ${cert}, requireCertificate: true}`;
  expect(await statusOfRecords(`listen: ["mqtts://127.0.0.1:0"], ${tls}`)).toBe(401);
});
