import { parseArgs } from 'node:util';
import { startBroker } from '../../src/agent/broker.ts';
import { IngestGate } from '../../src/agent/ingest.ts';
import { LIMITS } from '../../src/limits.ts';
import { systemRandom } from '../../src/random.ts';
import { openStore } from '../../src/store/open.ts';
import { silentLogger } from '../../src/telemetry.ts';
import { systemClock } from '../../src/time.ts';

/** The device side alone over the real store, for bench:ingest. Says `ready PORT`; SIGTERM ends it. */
const { values } = parseArgs({ options: { folder: { type: 'string' } } });

const store = await openStore({
  folder: values.folder ?? '',
  clock: systemClock,
  random: systemRandom,
  logger: silentLogger,
  retentionSchedule: undefined,
});
const telemetry = {
  partitions: 8,
  durability: 'fsync',
  retentionMs: undefined,
  retentionBytes: undefined,
} as const;
const gate = new IngestGate({
  writer: store.writer,
  clock: systemClock,
  logger: silentLogger,
  routes: [{ match: '#', topic: 'telemetry', key: '{topic}' }],
  topics: { telemetry },
  defaultTopic: telemetry,
  central: false,
});
const broker = await startBroker({
  gate,
  clock: systemClock,
  logger: silentLogger,
  listen: ['mqtt://127.0.0.1:0'],
  users: [],
  maxPacketBytes: LIMITS.mqttPacketBytes,
});
process.stdout.write(`ready ${new URL(broker.addresses()[0] ?? '').port}\n`);

process.once('SIGTERM', () => {
  void (async () => {
    await broker.stop();
    process.stdout.write(
      `counters ${JSON.stringify({ ...broker.counters(), ...store.counters() })}\n`,
    );
    await store.close();
    process.exit(0);
  })();
});
