import { cpSync, existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { runChecked, type Running, startProcess } from '../process.ts';
import type { Certificates } from './certificates.ts';
import { CACHE, classPath, KAFKA_VERSION, mainClass, quickJvm } from './jars.ts';
import type { NodePorts, NodeState, SupervisorOptions, User } from './state.ts';

/** One combined broker and controller: its properties, its formatted folder, its process. */
const ROLES: Readonly<Record<keyof Omit<NodePorts, 'proxy'>, { name: string; protocol: string }>> =
  {
    controller: { name: 'CONTROLLER', protocol: 'PLAINTEXT' },
    plaintext: { name: 'PLAINTEXT', protocol: 'PLAINTEXT' },
    sasl: { name: 'SASL', protocol: 'SASL_PLAINTEXT' },
    saslSsl: { name: 'SASL_SSL', protocol: 'SASL_SSL' },
    ssl: { name: 'SSL', protocol: 'SSL' },
    proxied: { name: 'PROXIED', protocol: 'SASL_PLAINTEXT' },
  };

/** How long a login by SCRAM-SHA-256 at the listener `proxied` holds. */
export const REAUTH_MS = 5000;

const SASL_LISTENERS = ['sasl', 'sasl_ssl', 'proxied'];

export interface NodeSetting {
  readonly node: NodeState;
  readonly all: readonly NodeState[];
  readonly users: readonly User[];
  readonly certificates: Certificates;
  readonly options: SupervisorOptions;
}

function address(port: number): string {
  return `127.0.0.1:${port}`;
}

function listenerProperties(ports: NodePorts): Record<string, string> {
  const entries = Object.entries(ROLES) as [
    keyof typeof ROLES,
    { name: string; protocol: string },
  ][];
  return {
    listeners: entries.map(([key, { name }]) => `${name}://${address(ports[key])}`).join(','),
    'advertised.listeners': entries
      .filter(([key]) => key !== 'controller')
      .map(
        ([key, { name }]) => `${name}://${address(key === 'proxied' ? ports.proxy : ports[key])}`,
      )
      .join(','),
    'listener.security.protocol.map': entries
      .map(([, { name, protocol }]) => `${name}:${protocol}`)
      .join(','),
    'controller.listener.names': 'CONTROLLER',
    'inter.broker.listener.name': 'PLAINTEXT',
  };
}

function saslProperties(users: readonly User[]): Record<string, string> {
  const security = 'org.apache.kafka.common.security';
  const plainUsers = users.map(({ name, password }) => `user_${name}="${password}"`).join(' ');
  const properties: Record<string, string> = {
    'sasl.enabled.mechanisms': 'PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER',
  };
  for (const listener of SASL_LISTENERS) {
    const set = (mechanism: string, jaas: string): void => {
      properties[`listener.name.${listener}.${mechanism}.sasl.jaas.config`] =
        `${security}.${jaas};`;
    };
    set('plain', `plain.PlainLoginModule required ${plainUsers}`);
    set('scram-sha-256', 'scram.ScramLoginModule required');
    set('scram-sha-512', 'scram.ScramLoginModule required');
    // Without more settings the broker takes unsecured JWS tokens ("alg":"none"): tests only.
    set(
      'oauthbearer',
      'oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker"',
    );
  }
  return properties;
}

function tlsProperties(certificates: Certificates): Record<string, string> {
  return {
    'ssl.keystore.type': 'PEM',
    'ssl.keystore.location': certificates.server,
    'ssl.truststore.type': 'PEM',
    'ssl.truststore.location': certificates.ca,
    'listener.name.ssl.ssl.client.auth': 'required',
    'listener.name.sasl_ssl.ssl.client.auth': 'none',
    'ssl.principal.mapping.rules': 'RULE:^CN=([^,]+).*$/$1/,DEFAULT',
  };
}

function serverProperties(setting: NodeSetting): Record<string, string> {
  const { node, all, users, certificates, options } = setting;
  const copies = String(Math.min(3, all.length));
  const inSync = String(Math.min(2, all.length));
  return {
    'process.roles': 'broker,controller',
    'node.id': String(node.id),
    'controller.quorum.voters': all
      .map(({ id, ports }) => `${id}@127.0.0.1:${ports.controller}`)
      .join(','),
    ...listenerProperties(node.ports),
    ...saslProperties(users),
    ...tlsProperties(certificates),
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:ANONYMOUS',
    'log.dirs': join(node.folder, 'data'),
    'auto.create.topics.enable': 'false',
    'default.replication.factor': copies,
    'min.insync.replicas': inSync,
    'offsets.topic.replication.factor': copies,
    'offsets.topic.num.partitions': '4',
    'transaction.state.log.replication.factor': copies,
    'transaction.state.log.min.isr': inSync,
    'transaction.state.log.num.partitions': '4',
    'group.initial.rebalance.delay.ms': '0',
    // Who does not log in anew is cut off: there, and by this mechanism only.
    'listener.name.proxied.scram-sha-256.connections.max.reauth.ms': String(REAUTH_MS),
    'broker.heartbeat.interval.ms': '1000',
    // Timed-out transactions are swept every second instead of every ten.
    'transaction.abort.timed.out.transaction.cleanup.interval.ms': '1000',
    // Small: the default dedupe buffer alone would be 128 MB of heap.
    'log.cleaner.dedupe.buffer.size': '4194304',
    'num.network.threads': '2',
    'num.io.threads': '4',
    'background.threads': '2',
    ...options.properties,
  };
}

function writeProperties(setting: NodeSetting): string {
  const file = join(setting.node.folder, 'server.properties');
  const lines = Object.entries(serverProperties(setting)).map(([key, value]) => `${key}=${value}`);
  writeFileSync(file, `${lines.join('\n')}\n`);
  return file;
}

/** A uuid as Kafka writes them: 16 bytes, base64url; one beginning with `-` looks like a flag. */
export function kafkaUuid(): string {
  for (;;) {
    const text = randomBytes(16).toString('base64url');
    if (!text.startsWith('-')) return text;
  }
}

async function formattedTemplate(setting: NodeSetting, clusterId: string): Promise<string> {
  const scram = setting.users.flatMap(({ name, password }) =>
    ['SCRAM-SHA-256', 'SCRAM-SHA-512'].flatMap((mechanism) => [
      '--add-scram',
      `${mechanism}=[name=${name},password=${password}]`,
    ]),
  );
  const digest = createHash('sha256').update(JSON.stringify([scram, setting.all.length]));
  const template = join(CACHE, KAFKA_VERSION, `formatted-${digest.digest('hex').slice(0, 12)}`);
  if (existsSync(template)) return template;
  const properties = join(setting.node.folder, 'server.properties');
  await runChecked({
    command: 'java',
    args: [
      ...quickJvm(),
      '-cp',
      classPath(),
      mainClass('storage'),
      'format',
      '-t',
      clusterId,
      '-c',
      properties,
      ...scram,
    ],
  });
  // Moved into place whole, so that another run never sees half of it.
  const fresh = `${template}.${process.pid}`;
  cpSync(join(setting.node.folder, 'data'), fresh, { recursive: true });
  rmSync(template, { recursive: true, force: true });
  cpSync(fresh, template, { recursive: true });
  rmSync(fresh, { recursive: true, force: true });
  return template;
}

/**
 * Makes the nodes' folders. Kafka's formatter takes two seconds of JVM a node, and what it writes
 * differs between nodes and clusters only in three lines of text: so it runs once, and its result
 * is kept and copied.
 */
export async function formatNodes(
  settings: readonly NodeSetting[],
  clusterId: string,
): Promise<void> {
  const [first] = settings;
  if (first === undefined) return;
  for (const setting of settings) {
    mkdirSync(setting.node.folder, { recursive: true });
    writeProperties(setting);
  }
  const template = await formattedTemplate(first, clusterId);
  for (const { node } of settings) {
    const data = join(node.folder, 'data');
    rmSync(data, { recursive: true, force: true });
    cpSync(template, data, { recursive: true });
    const meta = join(data, 'meta.properties');
    const text = readFileSync(meta, 'utf8')
      .replace(/^cluster\.id=.*$/m, `cluster.id=${clusterId}`)
      .replace(/^directory\.id=.*$/m, `directory.id=${kafkaUuid()}`)
      .replace(/^node\.id=.*$/m, `node.id=${node.id}`);
    writeFileSync(meta, text);
  }
}

export function startNode({ node, options }: NodeSetting): Promise<Running> {
  return startProcess({
    command: 'java',
    args: [
      `-Xms${Math.min(128, options.heapMiB)}m`,
      `-Xmx${options.heapMiB}m`,
      ...quickJvm(),
      '-XX:MaxDirectMemorySize=128m',
      '-Xss512k',
      '-Djava.awt.headless=true',
      '-Dorg.slf4j.simpleLogger.defaultLogLevel=warn',
      '-Dorg.slf4j.simpleLogger.showDateTime=true',
      '-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS',
      ...options.jvm,
      '-cp',
      classPath(),
      mainClass('broker'),
      join(node.folder, 'server.properties'),
    ],
    cwd: node.folder,
    logFile: join(node.folder, 'server.log'),
    ownGroup: true,
  });
}
