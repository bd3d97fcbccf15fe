import { fdatasync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { connect as dial, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { encode, text, id, byte } from '../support/attack/mqtt-fields.ts';
import { AgentProcess } from '../support/hunt/agent-process.ts';
import { pause, until } from '../support/hunt/wait.ts';
import { freePorts } from '../support/ports.ts';
import { anonymousKiB } from './memory-watch.ts';

/**
 * npm run bench:connections: what connected devices cost. 5,000 that only stay connected and 1,000 that
 * publish once a second at QoS 1: anonymous memory of the agent by connection, beyond what it takes with the
 * same traffic over ten connections, and how late the acknowledgements are. Beside them, what is not the agent's:
 * the slowest sync of the same disk, and how late this process itself was.
 *
 *   node test/bench/connections.ts [--idle 5000] [--publishing 1000] [--seconds 20]
 */
const { values } = parseArgs({
  options: {
    idle: { type: 'string', default: '5000' },
    publishing: { type: 'string', default: '1000' },
    seconds: { type: 'string', default: '20' },
  },
});
const idle = Number(values.idle);
const publishing = Number(values.publishing);
const seconds = Number(values.seconds);

const folder = mkdtempSync(join(tmpdir(), 'gatelog-connections-'));
const [port = 0] = await freePorts(1);
const config = join(folder, 'gatelog.yaml');
writeFileSync(
  config,
  `gateway: bench\ndata: ${join(folder, 'data')}\nlog: { level: warn, format: json }\n` +
    `mqtt: { listen: [ "mqtt://127.0.0.1:${port}" ] }\n`,
);

function device(index: number): Promise<Socket> {
  const hello = encode({
    first: 0x10,
    fields: [text('MQTT'), byte(4, 2), byte(0, 0), text(`device-${index}`)],
  });
  return new Promise((resolve, reject) => {
    const socket = dial({ port, host: '127.0.0.1', noDelay: true });
    socket.once('error', reject);
    socket.once('connect', () => socket.write(hello));
    socket.once('data', () => resolve(socket));
  });
}

async function devices(from: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const next = Math.min(100, count - sockets.length);
    const begun = Array.from({ length: next }, (_, index) => device(from + sockets.length + index));
    sockets.push(...(await Promise.all(begun)));
  }
  return sockets;
}

/** What it comes down to once V8 has collected: the least of some seconds. */
async function settledKiB(pid: number, forMs: number): Promise<number> {
  let least = Infinity;
  for (let waited = 0; waited < forMs; waited += 250) {
    await pause(250);
    least = Math.min(least, anonymousKiB(pid));
  }
  return least;
}

/** How slow this machine is meanwhile: 4 KiB written and synced 20 times a second, and our own timers. */
class MachineWatch {
  slowestSyncMs = 0;
  latestMs = 0;
  readonly #file = openSync(join(folder, 'sync-watch'), 'w');
  readonly #bytes = Buffer.alloc(4096, 1);
  readonly #timer: NodeJS.Timeout;
  #lastMs = performance.now();
  #syncs = false;

  constructor() {
    this.#timer = setInterval(() => this.#look(), 50);
  }

  stop(): void {
    clearInterval(this.#timer);
  }

  #look(): void {
    const nowMs = performance.now();
    this.latestMs = Math.max(this.latestMs, nowMs - this.#lastMs - 50);
    this.#lastMs = nowMs;
    if (this.#syncs) return;
    this.#syncs = true;
    writeSync(this.#file, this.#bytes, 0, this.#bytes.length, 0);
    fdatasync(this.#file, () => {
      this.#syncs = false;
      this.slowestSyncMs = Math.max(this.slowestSyncMs, performance.now() - nowMs);
    });
  }
}

async function publishAll(
  sockets: readonly Socket[],
  perSecond: number,
  forSeconds: number,
): Promise<number[]> {
  const latencies: number[] = [];
  const sentAt = new Map<Socket, number>();
  for (const socket of sockets) {
    socket.on('data', () => {
      latencies.push(performance.now() - (sentAt.get(socket) ?? 0));
      sentAt.delete(socket);
    });
  }
  const packets = sockets.map((_, index) =>
    encode({ first: 0x32, fields: [text(`plant/dev-${index}/state`), id(1), byte(1, 2, 3)] }),
  );
  const begun = performance.now();
  let sent = 0;
  while (performance.now() - begun < forSeconds * 1000) {
    const due = ((performance.now() - begun) / 1000) * perSecond;
    for (; sent < due; sent++) {
      const socket = sockets[sent % sockets.length];
      const packet = packets[sent % sockets.length];
      if (socket === undefined || packet === undefined || sentAt.has(socket)) continue;
      sentAt.set(socket, performance.now());
      socket.write(packet);
    }
    await pause(1);
  }
  await until(
    () => sentAt.size === 0,
    30_000,
    () => `${sentAt.size} acknowledgements are missing`,
  );
  return latencies.toSorted((left, right) => left - right);
}

const agent = await AgentProcess.start({ config, logFile: join(folder, 'agent.log') });
try {
  await until(
    () =>
      device(0).then(
        (socket) => (socket.destroy(), true),
        () => false,
      ),
    30_000,
    () => 'the agent takes connections',
  );
  const fresh = await settledKiB(agent.pid, 5000);
  const few = await devices(idle + publishing, 10);
  await publishAll(few, publishing, seconds);
  for (const socket of few) socket.destroy();
  const before = await settledKiB(agent.pid, 15_000);
  const idlers = await devices(0, idle);
  const withIdle = await settledKiB(agent.pid, 15_000);
  const publishers = await devices(idle, publishing);
  const machine = new MachineWatch();
  const latencies = await publishAll(publishers, publishing, seconds);
  machine.stop();
  const withAll = await settledKiB(agent.pid, 15_000);
  const at = (share: number): string =>
    (latencies[Math.floor(share * (latencies.length - 1))] ?? 0).toFixed(1);
  const each = (kiB: number, count: number): string => ((kiB - before) / count).toFixed(1);
  console.log(`${idle} idle connections: ${each(withIdle, idle)} KiB of RssAnon each`);
  console.log(
    `${publishing} publishing beside them: ${each(withAll, idle + publishing)} KiB each of all`,
  );
  console.log(
    `${latencies.length} acknowledgements: p50 ${at(0.5)} ms, p99 ${at(0.99)} ms, slowest ${at(1)} ms`,
  );
  console.log(
    `meanwhile: slowest sync of 4 KiB ${machine.slowestSyncMs.toFixed(1)} ms, ` +
      `this process late by ${machine.latestMs.toFixed(1)} ms`,
  );
  console.log(
    `RssAnon: ${fresh} KiB fresh, ${before} after traffic over ten connections, ` +
      `${withIdle} with the idle, ${withAll} with all`,
  );
  for (const socket of [...idlers, ...publishers]) socket.destroy();
  await agent.stop();
} finally {
  await agent.kill();
  rmSync(folder, { recursive: true, force: true });
}
