import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { startAgent } from '../../src/agent/agent.ts';
import { loadConfig } from '../../src/agent/config.ts';
import { seededRandom } from '../../src/random.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';
import { makeServerCertificate } from '../support/server-certificate.ts';

/** Metrics name a certificate by its file: a name that stands there twice is no metric. */
test('a certificate that MQTT and HTTP show is told of once, with both addresses', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'gatelog-shared-'));
  const { cert, key } = await makeServerCertificate(folder, 'shared', 9);
  const file = join(folder, 'gatelog.yaml');
  const tls = `tls: {cert: ${cert}, key: ${key}}`;
  writeFileSync(
    file,
    `data: data
mqtt: {listen: ["mqtts://127.0.0.1:0"], allowAnonymous: true, ${tls}}
http: {listen: ["https://127.0.0.1:0"], ${tls}}
`,
  );
  const { config } = loadConfig(file, { env: {}, workingFolder: folder });
  const agent = await startAgent(config, {
    clock: systemClock,
    random: seededRandom(1),
    logger: silentLogger,
    version: 'test',
  });
  const { certificates, listeners, http } = await agent.status();
  expect(certificates).toMatchObject([
    { file: cert, listeners: [...listeners, ...http.listeners], state: 'expiring', trouble: null },
  ]);
  await agent.stop();
  rmSync(folder, { recursive: true });
});
