import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { parseArgs } from 'node:util';
import { seededRandom } from '../../src/random.ts';

/**
 * MQTT load from a process of its own, the same for every broker. Each connection keeps `window`
 * QoS 1 messages in flight: some thousand different packets are built once, and as many as were
 * acknowledged are sent as one slice of bytes. Acknowledgements are counted by their four bytes each. Prints one
 * line of JSON.
 *
 *   node test/support/mqtt-load.ts --port 1883 --seconds 5 [--connections 50] [--window 100]
 *     [--topics 1000] [--payload 120] [--warm 1]
 *     [--host 127.0.0.1]
 *     [--rate 1000]   messages/s over all connections, one in flight each, with latencies
 */
const { values } = parseArgs({
  options: {
    host: { type: 'string', default: '127.0.0.1' },
    port: { type: 'string' },
    seconds: { type: 'string', default: '5' },
    warm: { type: 'string', default: '1' },
    connections: { type: 'string', default: '50' },
    window: { type: 'string', default: '100' },
    topics: { type: 'string', default: '1000' },
    payload: { type: 'string', default: '120' },
    rate: { type: 'string' },
  },
});

const port = Number(values.port);
const seconds = Number(values.seconds);
const warm = Number(values.warm);
const connections = Number(values.connections);
const window = Number(values.window);
const topics = Number(values.topics);
/** Different readings of a connection, in windows. */
const WINDOWS = 20;

/** A reading, the same ones for every broker: what repeats compresses better than life does. */
const random = seededRandom(1);
const digits = (from: number, to: number, after: number): string =>
  (from + random.next() * (to - from)).toFixed(after);

/** Plausible JSON of exactly the size asked for; every topic's and payload's length is the same. */
function payload(device: number, bytes: number): Buffer {
  const text =
    `{"device":"dev-${String(device).padStart(5, '0')}","ts":17638${digits(1e7, 9e7, 0)},` +
    `"temperature":${digits(10, 40, 2)},"humidity":${digits(10, 90, 2)},` +
    `"pressure":${digits(1000, 1050, 2)},"rssi":${digits(-90, -40, 0)},"volt":"`;
  const pad = bytes - text.length - 2;
  if (pad < 0) return Buffer.alloc(bytes, 'x');
  return Buffer.from(
    `${text}${digits(1, 9, 20)
      .repeat(Math.ceil(pad / 10))
      .slice(0, pad)}"}`,
  );
}

function publishPacket(device: number, id: number): Buffer {
  const topic = Buffer.from(
    `plant/line-${device % 8}/dev-${String(device).padStart(5, '0')}/state`,
  );
  const body = payload(device, Number(values.payload));
  const length = 2 + topic.length + 2 + body.length;
  const head = length < 128 ? [0x32, length] : [0x32, (length & 0x7f) | 0x80, length >> 7];
  return Buffer.concat([
    Buffer.from([...head, topic.length >> 8, topic.length & 0xff]),
    topic,
    Buffer.from([id >> 8, id & 0xff]),
    body,
  ]);
}

function connectPacket(clientId: string): Buffer {
  const id = Buffer.from(clientId);
  const fixed = [0x10, 12 + id.length, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 60, 0, id.length];
  return Buffer.concat([Buffer.from(fixed), id]);
}

async function open(index: number): Promise<Socket> {
  const socket = connect({ port, host: values.host, noDelay: true });
  await once(socket, 'connect');
  socket.write(connectPacket(`load-${index}`));
  const [connack] = (await once(socket, 'data')) as [Buffer];
  if (connack[0] !== 0x20 || connack[3] !== 0)
    throw new Error(`refused: ${connack.toString('hex')}`);
  return socket;
}

let acknowledged = 0;

function pump(socket: Socket, index: number): void {
  const own = Math.max(1, Math.floor(topics / connections));
  const packets = Array.from({ length: window * WINDOWS }, (_, slot) =>
    publishPacket((index * own + (slot % own)) % topics, (slot % window) + 1),
  );
  const size = packets[0]?.length ?? 0;
  const ring = Buffer.concat([...packets, ...packets.slice(0, window)]);
  let at = 0;
  let rest = 0;
  socket.on('data', (chunk: Buffer) => {
    if (rest === 0 && chunk[0] !== 0x40)
      throw new Error(`not a PUBACK: ${chunk.toString('hex', 0, 8)}`);
    const bytes = rest + chunk.length;
    const count = bytes >> 2;
    rest = bytes & 3;
    acknowledged += count;
    let left = count;
    while (left > 0) {
      const part = Math.min(left, window);
      socket.write(ring.subarray(at * size, (at + part) * size));
      at = (at + part) % packets.length;
      left -= part;
    }
  });
  socket.on('close', () => {
    process.stderr.write('the broker closed a connection\n');
    process.exit(1);
  });
  socket.write(ring.subarray(0, window * size));
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function flood(sockets: readonly Socket[]): Promise<void> {
  for (const [index, socket] of sockets.entries()) pump(socket, index);
  await pause(warm * 1000);
  const from = performance.now();
  const before = acknowledged;
  await pause(seconds * 1000);
  const elapsed = (performance.now() - from) / 1000;
  const messages = acknowledged - before;
  process.stdout.write(`${JSON.stringify({ messages, rate: Math.round(messages / elapsed) })}\n`);
}

/** One message in flight per connection, in turn; what is late is sent at once, not skipped. */
async function steady(sockets: readonly Socket[], rate: number): Promise<void> {
  const latencies: number[] = [];
  const sentAt = new Map<Socket, number>();
  for (const socket of sockets) {
    socket.on('data', () => {
      latencies.push(performance.now() - (sentAt.get(socket) ?? 0));
      sentAt.delete(socket);
    });
  }
  const from = performance.now();
  let sent = 0;
  let skipped = 0;
  while (performance.now() - from < seconds * 1000) {
    const due = Math.floor(((performance.now() - from) / 1000) * rate);
    while (sent < due) {
      const index = sent % sockets.length;
      const socket = sockets[index];
      sent++;
      if (socket === undefined) continue;
      if (sentAt.has(socket)) skipped++;
      else {
        sentAt.set(socket, performance.now());
        socket.write(publishPacket((index * 20 + (sent % 20)) % topics, (sent % 60_000) + 1));
      }
    }
    await pause(1);
  }
  latencies.sort((left, right) => left - right);
  const at = (part: number): number => latencies[Math.floor(part * (latencies.length - 1))] ?? 0;
  const result = { messages: latencies.length, skipped, p50: at(0.5), p99: at(0.99), max: at(1) };
  process.stdout.write(`${JSON.stringify(result)}\n`);
}

const sockets: Socket[] = [];
for (let index = 0; index < connections; index++) sockets.push(await open(index));
if (values.rate === undefined) await flood(sockets);
else await steady(sockets, Number(values.rate));
process.exit(0);
