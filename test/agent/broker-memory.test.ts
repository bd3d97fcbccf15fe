import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { afterEach, expect, test } from 'vitest';
import { startTestBroker, stopTestBrokers } from '../support/mqtt-broker.ts';

const CONNECTIONS = 300;
/** The test's own sockets are in it, 1 to 2 KiB each. With a parser and the like for each there were 13. */
const MOST_KIB = 9;

const sockets: Socket[] = [];

afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await stopTestBrokers();
});

async function collectedKiB(): Promise<number> {
  setFlagsFromString('--expose-gc');
  // The flag takes effect for contexts made after it.
  const collect = runInNewContext('gc') as () => void;
  for (let round = 0; round < 3; round++) {
    await new Promise((resolve) => setImmediate(resolve));
    collect();
  }
  return process.memoryUsage().heapUsed / 1024;
}

async function connectDevices(port: number, from: number, count: number): Promise<void> {
  for (let index = from; index < from + count; index++) {
    const socket = connect({ port, host: '127.0.0.1' });
    sockets.push(socket);
    const id = String(index).padStart(8, '0');
    socket.write(Buffer.from(`\x10\x14\x00\x04MQTT\x04\x02\x00\x00\x00\x08${id}`, 'latin1'));
    await once(socket, 'data');
  }
}

test('a connection that only stands takes little of the heap', async () => {
  const { port, broker } = await startTestBroker();
  // Code, and tables that grow by doubling, are of no connection.
  await connectDevices(port, 0, 50);
  const before = await collectedKiB();
  await connectDevices(port, 50, CONNECTIONS);
  const after = await collectedKiB();
  expect(broker.counters().connections).toBe(50 + CONNECTIONS);
  expect((after - before) / CONNECTIONS).toBeLessThan(MOST_KIB);
});
