/**
 * The process that owns a cluster's brokers. It lives apart from the tests because a broker that
 * one test file restarts must outlive that file's process, and because whatever happens to the
 * starter, this one notices (its standard input ends) and stops what it started. The brokers in
 * turn die with it (see process.ts).
 */
import { mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { inspect } from 'node:util';
import { freePorts } from '../ports.ts';
import type { Running } from '../process.ts';
import { waitUntilReady } from './admin.ts';
import { makeCertificates } from './certificates.ts';
import { CACHE, fetchJars, KAFKA_VERSION } from './jars.ts';
import { formatNodes, kafkaUuid, type NodeSetting, startNode } from './node.ts';
import type { ClusterState, NodeState, SupervisorOptions } from './state.ts';

const USERS = {
  gw: { name: 'gw', password: 'gw-secret' },
  nobody: { name: 'nobody', password: 'nobody-secret' },
} as const;

const options = JSON.parse(process.argv[2] ?? '') as SupervisorOptions;
const folder = join(CACHE, 'run', options.id);
const brokers = new Map<number, Running>();
let closing = false;

async function shutDown(code: number): Promise<never> {
  closing = true;
  await Promise.all([...brokers.values()].map((broker) => broker.kill()));
  if (process.env['GATELOG_KEEP_KAFKA'] === undefined) {
    rmSync(folder, { recursive: true, force: true });
  }
  process.exit(code);
}

function fail(error: unknown): void {
  if (closing) return;
  process.stderr.write(`kafka cluster ${options.id}: ${inspect(error)}\n`);
  void shutDown(1);
}

async function makeNodes(): Promise<NodeState[]> {
  const ports = await freePorts(options.nodes * 7);
  const next = (): number => ports.pop() ?? 0;
  return Array.from({ length: options.nodes }, (_, index) => ({
    id: index + 1,
    folder: join(folder, `node-${index + 1}`),
    ports: {
      controller: next(),
      plaintext: next(),
      sasl: next(),
      saslSsl: next(),
      ssl: next(),
      proxied: next(),
      proxy: next(),
    },
  }));
}

async function start(setting: NodeSetting): Promise<void> {
  const { id } = setting.node;
  const old = brokers.get(id);
  if (old !== undefined && !old.ended) throw new Error(`node ${id} is running`);
  brokers.set(id, await startNode(setting));
}

async function command(verb: string, setting: NodeSetting): Promise<void> {
  const broker = brokers.get(setting.node.id);
  if (verb === 'kill') await broker?.kill();
  else if (verb === 'stop') broker?.signal('SIGSTOP');
  else if (verb === 'cont') broker?.signal('SIGCONT');
  else if (verb === 'start') await start(setting);
  else throw new Error(`unknown command ${verb}`);
}

function pids(): Record<number, number | null> {
  return Object.fromEntries(
    [...brokers].map(([id, broker]) => [id, broker.ended ? null : broker.pid]),
  );
}

async function serve(settings: readonly NodeSetting[]): Promise<number> {
  const server = createServer((request, response) => {
    const [, verb = '', id = ''] = (request.url ?? '').split('/');
    const answer = (status: number, body: unknown): void => {
      response.writeHead(status, { 'content-type': 'application/json' });
      response.end(JSON.stringify(body));
    };
    const setting = settings.find(({ node }) => String(node.id) === id);
    if (verb === 'pids') answer(200, pids());
    else if (setting === undefined) answer(404, { error: `no node ${id}` });
    else {
      command(verb, setting).then(
        () => answer(200, pids()),
        (error: unknown) => answer(409, { error: String(error) }),
      );
    }
  });
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  return (server.address() as AddressInfo).port;
}

async function main(): Promise<void> {
  const begun = performance.now();
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, 'supervisor.pid'), String(process.pid));
  await fetchJars();
  const nodes = await makeNodes();
  const certificates = await makeCertificates(join(folder, 'tls'), USERS.gw.name);
  const users = Object.values(USERS);
  const settings = nodes.map((node) => ({ node, all: nodes, users, certificates, options }));
  const clusterId = kafkaUuid();
  await formatNodes(settings, clusterId);
  const formatted = performance.now();
  await Promise.all(settings.map(start));
  const died = Promise.race(
    [...brokers].map(async ([id, broker]) => {
      const exit = await broker.exited;
      throw new Error(`node ${id} ended (${exit.code ?? exit.signal}) while starting`);
    }),
  );
  await Promise.race([waitUntilReady(nodes, 120_000), died]);
  died.catch(() => {}); // from here on a broker's end is a test's doing
  const state: ClusterState = {
    id: options.id,
    folder,
    version: KAFKA_VERSION,
    clusterId,
    controlPort: await serve(settings),
    supervisorPid: process.pid,
    nodes,
    users: USERS,
    certificates,
    startMs: {
      format: Math.round(formatted - begun),
      ready: Math.round(performance.now() - formatted),
    },
  };
  const file = join(folder, 'cluster.json');
  writeFileSync(`${file}.new`, JSON.stringify(state, undefined, 2));
  renameSync(`${file}.new`, file);
  process.stdout.write(`ready ${file}\n`);
}

process.stdin.on('end', () => void shutDown(0)).resume();
process.on('SIGTERM', () => void shutDown(0));
process.on('SIGINT', () => {}); // Ctrl-C reaches the starter too, which then ends our input
process.on('uncaughtException', fail);
process.on('unhandledRejection', fail);
main().catch(fail);
