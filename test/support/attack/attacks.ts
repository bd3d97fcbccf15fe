import { connect as dial, type Socket } from 'node:net';
import { pause } from '../hunt/wait.ts';
import { RawDevice } from '../mqtt-raw.ts';
import { connect, encode, text } from './mqtt-fields.ts';

/** Attacks on a listener at a port, each over when its promise resolves. What they open they close. */
export interface AttackSize {
  readonly halfOpen: number;
  readonly slow: number;
  readonly slowSeconds: number;
  readonly churns: number;
  readonly churnsPerSecond: number;
  readonly filters: number;
  readonly retained: number;
  readonly takeovers: number;
}

/** From many addresses: of one there are 28,000 ports. */
function address(index: number): string {
  return `127.0.${1 + (index % 8)}.${1 + (index % 200)}`;
}

function open(port: number, index: number): Promise<Socket> {
  return new Promise((resolve) => {
    const socket = dial({ port, host: '127.0.0.1', localAddress: address(index) });
    socket.on('error', () => resolve(socket));
    socket.once('connect', () => resolve(socket));
    socket.resume();
  });
}

async function openMany(port: number, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  while (sockets.length < count) {
    const next = Array.from({ length: Math.min(100, count - sockets.length) }, (_, index) =>
      open(port, sockets.length + index),
    );
    sockets.push(...(await Promise.all(next)));
  }
  return sockets;
}

/** Connections that say nothing. Returns how many stood at one time. */
export async function halfOpen(port: number, { halfOpen: count }: AttackSize): Promise<number> {
  const sockets = await openMany(port, count);
  const stood = sockets.filter(({ destroyed }) => !destroyed).length;
  for (const socket of sockets) socket.destroy();
  return stood;
}

/** A byte at a time: half of them of CONNECT, half of a PUBLISH. Returns how many were hung up on. */
export async function slowloris(port: number, size: AttackSize): Promise<number> {
  const sockets = await openMany(port, size.slow);
  const scripts = sockets.map((socket, index) => {
    const hello = encode(connect(4, `slow-${index}`, false));
    if (index % 2 === 0) return hello;
    socket.write(hello);
    return encode({ first: 0x32, fields: [text('slow'), text('x'.repeat(5000))] });
  });
  for (let second = 0; second < size.slowSeconds; second++) {
    for (const [index, socket] of sockets.entries()) {
      const script = scripts[index] ?? Buffer.alloc(0);
      if (!socket.destroyed) socket.write(script.subarray(second, second + 1));
    }
    await pause(1000);
  }
  const ended = sockets.filter(({ destroyed }) => destroyed).length;
  for (const socket of sockets) socket.destroy();
  return ended;
}

async function visit(port: number, index: number): Promise<void> {
  const socket = await open(port, index);
  socket.write(encode(connect(4, `churn-${index % 1000}`, false)));
  await pause(20);
  socket.destroy();
}

/** Connects, says CONNECT, and is gone. */
export async function churn(port: number, size: AttackSize): Promise<number> {
  const begun = performance.now();
  let made = 0;
  const all: Promise<void>[] = [];
  while (made < size.churns) {
    const due = ((performance.now() - begun) / 1000) * size.churnsPerSecond;
    for (; made < Math.min(due, size.churns); made++) {
      all.push(visit(port, made));
    }
    await pause(2);
  }
  await Promise.all(all);
  return Math.round(made / ((performance.now() - begun) / 1000));
}

/** Subscribes to ever more, wildcards among them. Returns how many it was granted. */
export async function subscriptionBomb(port: number, size: AttackSize): Promise<number> {
  const device = await RawDevice.connect(port, 4, { clientId: 'bomb', keepalive: 0 });
  let granted = 0;
  for (let from = 0; from < size.filters; from += 1000) {
    const subscriptions = Array.from({ length: 1000 }, (_, index) => ({
      topic: `${'+/'.repeat((from + index) % 20)}f${from + index}/#`,
      qos: 0 as const,
    }));
    device.send({ cmd: 'subscribe', messageId: 1 + from / 1000, subscriptions });
    const answers = 1 + from / 1000;
    await device.until(() => device.ids('suback').length === answers);
    const codes = device.last('suback')?.['granted'] as number[];
    granted += codes.filter((code) => code < 0x80).length;
  }
  device.close();
  return granted;
}

/** Retained messages to topics of their own. */
export async function retainedBomb(port: number, size: AttackSize): Promise<number> {
  const device = await RawDevice.connect(port, 4, { clientId: 'retainer', keepalive: 0 });
  const payload = Buffer.alloc(16_384, 'r');
  for (let id = 1; id <= size.retained; id++) {
    device.send(device.publish(`retained/${id}`, payload, 1, id, { retain: true }));
    if (id % 50 === 0) await device.until(() => device.ids('puback').length === id);
  }
  device.close();
  return size.retained;
}

/** One client id, taken over again and again, eight at a time. */
export async function takeovers(port: number, size: AttackSize): Promise<number> {
  const hello = encode(connect(5, 'everybody', true));
  let made = 0;
  const one = async (): Promise<void> => {
    while (made < size.takeovers) {
      const socket = await open(port, made++);
      socket.write(hello);
      await pause(5);
      // The one before is ended by the next; every third leaves by itself.
      if (made % 3 === 0) socket.destroy();
      else setTimeout(() => socket.destroy(), 500);
    }
  };
  await Promise.all(Array.from({ length: 8 }, one));
  await pause(600);
  return made;
}
