/** `npm run kafka`: the test suite's cluster, for a person to play with until Ctrl-C. */
import { join, relative } from 'node:path';
import { type KafkaCluster, startKafkaCluster } from './cluster.ts';
import { KAFKA_VERSION } from './jars.ts';

function say(text: string): void {
  process.stdout.write(`${text}\n`);
}

function describe(cluster: KafkaCluster): string {
  const { certificates, folder, users } = cluster.state;
  const plain = cluster.bootstrap('plaintext').join(',');
  return `
Kafka ${KAFKA_VERSION} is up: three brokers, replication 3, at least 2 in sync.

  PLAINTEXT       ${plain}
  SASL_PLAINTEXT  ${cluster.bootstrap('sasl').join(',')}
  SASL_SSL        ${cluster.bootstrap('saslSsl').join(',')}
  SSL             ${cluster.bootstrap('ssl').join(',')}  (client certificate)

  PLAINTEXT needs no login and may do everything. On the others ${users.gw.name} may do everything:
  password ${users.gw.password}, PLAIN or SCRAM-SHA-256 or SCRAM-SHA-512.
  CA           ${certificates.ca}
  Client       ${certificates.clientCertificate}
               ${certificates.clientKey}
  Everything   ${join(folder, 'cluster.json')}

Try, in another terminal:

  npm start -- --kafka ${plain}
  npx gatelog run --kafka ${plain}
  kcat -b ${plain} -L
  kcat -b ${plain} -C -t telemetry -o beginning -X isolation.level=read_committed
  kcat -b ${plain} -P -t playground -K :
  GATELOG_KAFKA=${relative(process.cwd(), join(folder, 'cluster.json'))} npx vitest run --project system

Ctrl-C stops it and removes its data.
`;
}

async function main(): Promise<void> {
  say(`starting Kafka ${KAFKA_VERSION} (the first time its jars are fetched by Maven)`);
  const cluster = await startKafkaCluster();
  await cluster.createTopic('playground', { partitions: 3 });
  const all = (['topic', 'group', 'transactionalId'] as const).map((resource) => ({
    resource,
    name: '*',
    operations: ['ALL' as const],
  }));
  await cluster.grant(cluster.state.users.gw.name, all);
  say(describe(cluster));
  // A timer keeps the process; the signals end it.
  const alive = setInterval(() => {}, 60_000);
  await new Promise<void>((resolve) => {
    process.once('SIGINT', resolve);
    process.once('SIGTERM', resolve);
  });
  clearInterval(alive);
  say('stopping Kafka');
  await cluster.close();
}

try {
  await main();
} catch (error) {
  process.stderr.write(
    `npm run kafka: ${error instanceof Error ? error.message : String(error)}\n`,
  );
  process.exitCode = 1;
}
