import { connect, createServer } from 'node:net';
import { expect, test } from 'vitest';
import { must } from '../../../src/assert.ts';
import { kernelSockets, readSockets } from '../../../src/mirror/policy/kernel-sockets.ts';

const OUTPUT = `ESTAB 0      0      10.0.0.2:44210      10.0.0.9:9092  ino:20 sk:105a cgroup:/ <->
\t ts sack cubic wscale:7,7 rto:204 rtt:0.5/0.2 mss:1448 bytes_sent:3000 bytes_retrans:200 bytes_acked:2801 bytes_received:500 segs_out:10 segs_in:8 data_segs_out:4 lastsnd:4
ESTAB 0      0      [2001:db8::2]:44300      [2001:db8::9]:9093  ino:21 sk:105b <->
\t sack cubic wscale:7,7 bytes_sent:100 bytes_received:70 segs_out:3 segs_in:2
ESTAB 0      0      [::ffff:10.0.0.2]:44301      [::ffff:10.0.0.9]:9094  ino:22 sk:105c <->
\t ts sack cubic bytes_sent:1 bytes_received:1 segs_out:1 segs_in:1
SYN-SENT 0      1      10.0.0.2:44302      10.0.0.8:9092  ino:23 sk:105d <->
\t cubic rto:3000 backoff:1 mss:524 segs_out:2 unacked:1 retrans:1/1 lost:1
LISTEN 0      128      0.0.0.0:1883      0.0.0.0:*  ino:24 sk:1 <->
\t cubic cwnd:10
`;

test('what ss shows is read as bytes of IP packets', () => {
  expect(readSockets(OUTPUT)).toEqual(
    new Map([
      ['44210:9092', { sentBytes: 3000 + 10 * 52 + 8, receivedBytes: 500 + 8 * 52 + 8 }],
      ['44300:9093', { sentBytes: 100 + 3 * 60 + 8, receivedBytes: 70 + 2 * 60 + 8 }],
      ['44301:9094', { sentBytes: 1 + 52 + 8, receivedBytes: 1 + 52 + 8 }],
      ['44302:9092', { sentBytes: 2 * 40 + 8, receivedBytes: 0 }],
    ]),
  );
  expect(readSockets('')).toEqual(new Map());
});

test('the kernel of this machine tells of a connection of ours', async () => {
  const server = createServer((peer) => peer.on('data', () => peer.write(Buffer.alloc(50))));
  await new Promise<void>((resolve) => {
    server.listen(0, '127.0.0.1', resolve);
  });
  const address = must(server.address(), 'it listens');
  const port = typeof address === 'string' ? 0 : address.port;
  const socket = connect(port, '127.0.0.1');
  socket.write(Buffer.alloc(700));
  await new Promise((resolve) => {
    socket.once('data', resolve);
  });
  const local = must(socket.localPort, 'it is connected');
  const counts = must(await kernelSockets()([local]), 'ss is there');
  const count = must(counts.get(`${local}:${port}`), 'it knows the connection');
  // SYN, ACK, data with their headers; SYN-ACK and data.
  expect(count.sentBytes).toBeGreaterThanOrEqual(700 + 3 * 52 - 52);
  expect(count.sentBytes).toBeLessThan(700 + 6 * 60);
  expect(count.receivedBytes).toBeGreaterThanOrEqual(50 + 2 * 52);
  expect(await kernelSockets()([])).toBeUndefined();
  socket.destroy();
  server.close();
});
